/* SPDX-License-Identifier: ISC */
/* Pools of before an upgrade that could not load its configuration: they serve, and start no
 * worker. The load is tried again, with growing pauses. */
#ifndef MASTER_LEFT_OVER_H
#define MASTER_LEFT_OVER_H

#include "master/master.h"

/* Whether there are any. */
bool left_over_is(const struct master *m);
/* A load ended. */
void left_over_loaded(struct master *m, bool failed);
/* Tries again when it is due. Returns when to look again. */
uint64_t left_over_step(struct master *m, uint64_t now);

#endif
