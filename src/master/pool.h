/* SPDX-License-Identifier: ISC */
/* How many workers a pool starts and lets go, now. Pure: settings, counts and the time in, a plan
 * out. */
#ifndef MASTER_POOL_H
#define MASTER_POOL_H

#include <stdbool.h>
#include <stdint.h>

#define POOL_NEVER UINT64_MAX

struct pool_settings {
	unsigned workers;      /* wanted */
	unsigned max_starting; /* not yet ready at a time */
};

/* Workers by what they are. "Old" ones came before the last recycle and are to be replaced. */
struct pool_counts {
	unsigned ready;    /* take clients, not old */
	unsigned starting; /* forked, not ready, not old */
	unsigned old;      /* take clients, to be replaced, not told yet */
	unsigned leaving;  /* told */
};

struct pool_health {
	unsigned failures;     /* early deaths and failed forks in a row */
	uint64_t last_failure; /* when the last one was */
	uint64_t retry;        /* no worker is started before */
};

struct pool_plan {
	unsigned start;
	unsigned retire;    /* old workers to tell */
	uint64_t next_usec; /* look again then, or POOL_NEVER */
};

struct pool_plan pool_plan(const struct pool_settings *settings, const struct pool_counts *counts,
			   const struct pool_health *health, uint64_t now);

/* A worker died before its first connection, or fork failed: 100 ms, doubled each time up to 30 s,
 * with a quarter of jitter from `random`. */
void pool_failed(struct pool_health *health, uint64_t now, uint32_t random);
/* A worker served: the pool is well. */
void pool_succeeded(struct pool_health *health);
/* `after` connections with 10 % of jitter from `random`; 0 stays 0, and nothing becomes 0. */
uint64_t pool_recycle_after(uint64_t after, uint32_t random);

#endif
