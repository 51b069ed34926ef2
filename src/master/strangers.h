/* SPDX-License-Identifier: ISC */
/*
 * Processes that become the master's children because their own parents died: what a program
 * started whose worker was killed. They hold the client's socket, and nobody else knows of them:
 * the group that such a program leads is killed. Others are reaped; where preforkd is the first
 * process of a container, those are everybody's.
 */
#ifndef MASTER_STRANGERS_H
#define MASTER_STRANGERS_H

#include "master/master.h"

/* Has orphans become children, and looks at those that end. Returns 0, or a negative errno. */
int strangers_add(struct master *m);

/* When the master ends: its last worker may have left some a moment ago. Waits for those, 200 ms at
 * most. */
void strangers_finish(const struct master *m);

#endif
