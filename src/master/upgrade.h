/* SPDX-License-Identifier: ISC */
/* SIGUSR2: the (new) binary, executed in place. First a child checks that it runs and takes the
 * configuration; then execve(2), with everything that lives handed over (state.h). */
#ifndef MASTER_UPGRADE_H
#define MASTER_UPGRADE_H

#include "master/master.h"

/* Asks for one; its result is a verdict. One that comes during another runs after it. */
void upgrade_ask(struct master *m);
/* The one that was asked for during another, or before the execve. */
void upgrade_resume(struct master *m);
/* Begins and ends it when nothing else is under way. Does not return when it succeeds. */
void upgrade_step(struct master *m);
void upgrade_abort(struct master *m, const char *reason);

#endif
