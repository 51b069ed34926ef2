/* SPDX-License-Identifier: ISC */
/* The two loops of a ready worker. */
#ifndef WORKER_LOOP_H
#define WORKER_LOOP_H

#include "worker/job.h"

/* What a loop needs beside the job. */
struct loop {
	const struct worker_job *job;
	const struct master_file *master; /* read-only */
	uint64_t served;
};

/* Accept connections and serve them until told to leave. Returns 0, or -1 after an error that ends
 * the worker, which was logged. */
int loop_connections(struct loop *loop);
/* The same for datagrams. */
int loop_datagrams(struct loop *loop);

/* True when the worker should take no further client. */
bool loop_ends(const struct loop *loop);
/* CLOCK_MONOTONIC in microseconds. */
uint64_t loop_now(void);

/* What to do after a failed accept or receive. */
enum failure { FAILURE_NEXT, FAILURE_WAIT, FAILURE_FATAL };
/* By errno, as DESIGN and accept(2) sort them. */
enum failure loop_failure(int errnum);
/* Handles one: waits where the machine is short of something, says so once a minute. Returns 0 to
 * go on, -1 to end. */
int loop_failed(struct loop *loop, const char *call, int errnum);

#endif
