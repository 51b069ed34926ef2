/* SPDX-License-Identifier: ISC */
/* A worker's life: become, enter, ready, accept and serve until told to leave. */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "base/error.h"
#include "worker/job.h"

/* The exit status of a worker that was told to leave, or had served its recycle_after. */
#define WORKER_LEFT 0

/* Runs in the forked child, all signals blocked; never returns. */
_Noreturn void worker_run(const struct worker_job *job);

/* The parts of it, for worker.c and the tests. */

/*
 * Drops what the job says, in the order that works: process group, name, limits, chroot, groups,
 * user, parent-death signal, no_new_privs. Returns 0, or -1 with err.
 */
int worker_become(const struct worker_job *job, struct error *err);
/* Of that what a program needs too: all from the limits on. */
int worker_change(const struct worker_job *job, struct error *err);

/* No program gets at the terminal that the daemon was started from. */
void worker_leave_terminal(void);

#endif
