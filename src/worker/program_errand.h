/* SPDX-License-Identifier: ISC */
/* The child of a worker of programs: it waits for a client, and becomes its program. */
#ifndef WORKER_PROGRAM_ERRAND_H
#define WORKER_PROGRAM_ERRAND_H

#include "worker/lingering.h"
#include "worker/program.h"
#include "worker/program_client.h"
#include "worker/proxy.h"

/* What the child did; on memory that both see, whatever clone() made. */
struct errand {
	atomic_bool taken; /* a client */
	bool stopped;
	const char *failed; /* the call that did, and its errno */
	int error;
	struct program_client client; /* whose descriptor is in the table that is shared until the
					 execve */
	struct proxy_local local;     /* what the client is connected to; len 0: not known yet */
	struct entrant entrant;
	enum connection_field outcome; /* CONN_finished, or why it is not served */
};

struct programs {
	struct loop *loop;
	const struct worker_job *job;
	struct supervisor supervisor;
	struct program_environment environment;
	struct errand *errand;
	struct proxy_local local; /* the listener's, where it is that of every client; len 0: each
				     has one of its own */
	struct lingering lingering;
	int ready; /* epoll_wait(2) for the listener; -1: the child waits in accept(2) */
	int again; /* the listener once more; -1 with that */
	pid_t self;
	void *stack;
};

/* Of struct programs. On a stack of its own, in the memory of the worker, which waits. Returns an
 * exit status where no program took its place. */
int program_errand_run(void *programs);
/* What a socket is bound to, an IPv4 address unmapped; 0: not known. */
socklen_t program_errand_local(int fd, struct sockaddr_storage *local);

#endif
