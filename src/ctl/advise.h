/* SPDX-License-Identifier: ISC */
/* How many workers each pool needs. */
#ifndef CTL_ADVISE_H
#define CTL_ADVISE_H

#include "ctl/ctl.h"
#include "view/advice.h"

/* A pool and what is advised for it; without a daemon `pool` is NULL. */
struct advised {
	const struct pool_view *pool;
	struct advice advice;
	double seconds;        /* that were measured */
	uint64_t worker_bytes; /* private memory of one of its workers; 0: not known */
};

void advise_print(const struct advised *advised);
/* Returns 0, or -1 with err. */
int advise_json(const struct advised *advised, size_t count, struct error *err);

/* Looks in an interval; rates and meanwhile are for each pool of `now`, which are those of
 * `before` in the same order. */
struct advise_looks {
	struct snapshot before, now;
	struct pool_rates *rates;
	struct advice_meanwhile *meanwhile;
};
/* interval_usec 0: since the start of the daemon. Returns 0, or -1 with err; to be freed either
 * way. */
int advise_look(struct advise_looks *looks, const struct ctl *ctl, char **services, int count,
		uint64_t interval_usec, struct error *err);
void advise_looks_free(struct advise_looks *looks);
/* Private memory of the first worker of a pool that may be asked. */
uint64_t advise_worker_bytes(const struct snapshot *snapshot, uint32_t pool);

#endif
