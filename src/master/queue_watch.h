/* SPDX-License-Identifier: ISC */
/*
 * How long the clients of a Unix socket have waited, which the kernel does not tell: the master
 * notes now and then how many there are, so that a worker can tell of the one it takes whether it
 * was there already. For pools with queue_timeout alone.
 */
#ifndef MASTER_QUEUE_WATCH_H
#define MASTER_QUEUE_WATCH_H

#include "master/crew.h"

/* Does nothing where it is not wanted. Returns 0, or a negative errno. */
int queue_watch_start(struct crew *crew);
void queue_watch_stop(struct crew *crew);

#endif
