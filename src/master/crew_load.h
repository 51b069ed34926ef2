/* SPDX-License-Identifier: ISC */
/* What the workers of a pool that may grow do, as the policy wants to know it. */
#ifndef MASTER_CREW_LOAD_H
#define MASTER_CREW_LOAD_H

#include "board/gauge.h"
#include "master/crew.h"

/* `seen`: what the gauge said, for gauge_arm(). Returns when to look again. */
uint64_t crew_read_load(struct crew *crew, uint64_t now, struct gauge_reading *seen,
			struct pool_load *load);

#endif
