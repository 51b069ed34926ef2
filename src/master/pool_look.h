/* SPDX-License-Identifier: ISC */
/* One look at a pool that may grow: for the parts of pool_plan(). */
#ifndef MASTER_POOL_LOOK_H
#define MASTER_POOL_LOOK_H

#include "master/pool.h"

/* While fewer than the spare ones are idle. */
#define POOL_LOOK_USEC UINT64_C(10000)
/* More are wanted than there may be. */
#define POOL_CAPPED_USEC UINT64_C(100000)
#define POOL_FULL_USEC   UINT64_C(1000000)

struct pool_look {
	const struct pool_settings *s;
	const struct pool_counts *c;
	const struct pool_load *load;
	struct pool_history *h;
	uint64_t now;
	unsigned serving, busy;
	unsigned coming; /* workers that start, or are to */
	uint32_t ended;  /* clients */
};

static inline unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static inline unsigned most(unsigned a, unsigned b)
{
	return a > b ? a : b;
}

static inline uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* It is looked at again soon, so that no worker has to say anything. */
void pool_attend(struct pool_plan *plan, enum pool_reason reason, uint64_t next);
/* Raises the size where that helps clients (pool_grow.c). */
void pool_grow(const struct pool_look *look, struct pool_plan *plan);

#endif
