/* SPDX-License-Identifier: ISC */
/* Starts a program as vfork(2) does: the worker sleeps until its child has executed it. */
#ifndef WORKER_PROGRAM_START_H
#define WORKER_PROGRAM_START_H

#include <sys/types.h>

#include "worker/job.h"

struct program_start {
	const struct worker_job *job;
	pid_t self;
	void *stack;
	struct program_errand *errand; /* what the child sees and tells */
};

/* For the life of a worker. Returns 0, or -1 with errno. */
int program_start_open(struct program_start *start, const struct worker_job *job);
/*
 * All signals must be blocked. Returns the program's pid; -1 with errno: there is no process; or 0
 * after a line in the log: there is one, which could not execute the program, and its pid is in
 * *ended.
 */
pid_t program_start(struct program_start *start, int in, int out, int err_fd,
		    char *const *environment, pid_t *ended);
/* The machine is short of something: counted, and said once a minute with what becomes of it. */
void program_start_tell_shortage(const struct worker_job *job, const char *call, int errnum,
				 const char *consequence);

#endif
