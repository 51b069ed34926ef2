/* SPDX-License-Identifier: ISC */
/* A child process that does what must not touch the master, and writes what came of it: under a
 * time limit, watched by the event loop. */
#ifndef MASTER_CHILD_H
#define MASTER_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct master;
struct child;

struct child_result {
	const char *bytes; /* all it wrote, with a NUL behind it */
	size_t size;
	bool late; /* killed: it took too long */
	int code;  /* CLD_EXITED, CLD_KILLED ... and its status, as of waitid(2) */
	int status;
};

/* Runs in the child: no signal blocked, only `out` and the standard descriptors open, KILL when the
 * master dies. Returns the exit status. */
typedef int child_run(struct master *m, int out);
/* Called once; the child is gone then. */
typedef void child_done(struct master *m, const struct child_result *result);

/* NULL with err: EX_OSERR. */
struct child *child_start(struct master *m, child_run *run, child_done *done, uint64_t limit_usec,
			  struct error *err);
/* Ends it; `done` is not called. NULL is fine. */
void child_cancel(struct child *child);
/* Whether that is one of them; one that was cancelled is, until it is reaped. */
bool child_is_known(const struct master *m, pid_t pid);
/* "exited with status 1", "killed by SIGSEGV"... Returns text. */
const char *child_describe(const struct child_result *result, char *text, size_t room);

#endif
