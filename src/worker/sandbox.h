/* SPDX-License-Identifier: ISC */
/*
 * sandbox = "strict": a seccomp allow-list of what the accept loop and the built-in handlers need;
 * any other system call fails with EPERM. Made once in the master, so that a worker only has to
 * install it.
 */
#ifndef WORKER_SANDBOX_H
#define WORKER_SANDBOX_H

#include "base/error.h"

/* In the master, before a fork; cheap the second time. Returns 0, or -1 with err. */
int sandbox_prepare(struct error *err);
/* In the worker, after no_new_privs. Returns 0, or -1 with err. */
int sandbox_enter(struct error *err);

#endif
