/* SPDX-License-Identifier: ISC */
/* The two loops of a ready worker. */
#ifndef WORKER_LOOP_H
#define WORKER_LOOP_H

#include "worker/job.h"

/*
 * What a loop looks at for every client, side by side: the job lies elsewhere on the stack, the
 * handler on a page of constants, and each would be a cache miss of its own.
 */
struct loop {
	const board_u32 *word; /* of the master */
	struct slot *slot;
	int (*serve)(void *state, const struct preforkd_client *client);
	void *state;
	uint64_t served;
	uint64_t due; /* so many served: look whether it is time to leave; UINT64_MAX: never */
	int listener;
	int type;
	bool set_timeout, limited, log; /* limited: by connection_timeout */
	bool samples_wait;              /* the kernel tells how long a client has waited */
	const struct worker_job *job;
	const struct master_file *master; /* read-only */
	uint64_t last;                    /* leave after so many; UINT64_MAX: never */
	uint64_t memory_due;              /* when to look at its memory */

	/* with job->admission */
	const struct admission *admission;
	bool asks_queue;      /* whether clients wait, before each accept; of Unix sockets */
	int queue;            /* the listener then */
	bool saw_empty;       /* it did: none does */
	uint64_t accept_usec; /* when that was */
};

void loop_prepare(struct loop *loop, const struct worker_job *job,
		  const struct master_file *master);
/* Accept connections and serve them until told to leave. Returns 0, or -1 after an error that ends
 * the worker, which was logged. */
int loop_connections(struct loop *loop);
/* The same for datagrams. */
int loop_datagrams(struct loop *loop);

/* True when the worker should take no further client. */
bool loop_ends(struct loop *loop);
/* CLOCK_MONOTONIC in microseconds. */
uint64_t loop_now(void);

/* What to do after a failed accept or receive. */
enum failure { FAILURE_NEXT, FAILURE_WAIT, FAILURE_FATAL };
/* By errno, as DESIGN and accept(2) sort them. */
enum failure loop_failure(int errnum);
/* After EAGAIN, waits for a client where the listener does not block, for a moment: a program that
 * shares it, before or after this pool, has set that for all. poll(2) ends with the stop. */
void loop_wait(int listener, int errnum);
/* Handles one: waits where the machine is short of something, says so once a minute. Returns 0 to
 * go on, -1 to end. */
int loop_failed(struct loop *loop, const char *call, int errnum);

#endif
