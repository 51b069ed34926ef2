/* SPDX-License-Identifier: ISC */
/* What two looks at the board tell. */
#ifndef VIEW_RATES_H
#define VIEW_RATES_H

#include "view/snapshot.h"

/* Of a pool, in between. A pool that was not there before, or that has begun anew, has zeroes and a
 * full_in of INFINITY. */
struct pool_rates {
	double seconds; /* from one look to the other; 0: nothing is known */
	double accepted, finished, refused, aborted; /* a second; aborted: timed out too */
	double ended;                                /* all that ended */
	double busy;    /* workers that served, on average, as those that ended tell */
	double full_in; /* seconds until workers_max serve if it goes on; INFINITY: never */
	struct histogram times, waits; /* of those that ended in between */
};

/* `out` has room for now->pool_count. Looks of different masters have nothing in common. */
void rates_compute(const struct snapshot *before, const struct snapshot *now,
		   struct pool_rates *out);
/* The pool of the same service and address, or NULL. */
const struct pool_view *snapshot_find_pool(const struct snapshot *snapshot,
					   const struct pool_view *like);

#endif
