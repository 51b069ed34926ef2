/* SPDX-License-Identifier: ISC */
#ifndef VIEW_QUEUES_H
#define VIEW_QUEUES_H

#include "view/snapshot.h"

/* Asks the kernel how many clients wait for each pool: that is of now, the board's of the master's
 * last look. Where the kernel does not tell, that stays. Not for a sandbox: it opens a socket. */
void snapshot_ask_queues(struct snapshot *snapshot);

#endif
