/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <math.h>
#include <string.h>

#include "base/parse.h"
#include "view/rates.h"

const struct pool_view *snapshot_find_pool(const struct snapshot *snapshot,
					   const struct pool_view *like)
{
	for (uint32_t i = 0; i < snapshot->pool_count; i++)
		if (strcmp(snapshot->pools[i].service, like->service) == 0 &&
		    strcmp(snapshot->pools[i].address, like->address) == 0)
			return &snapshot->pools[i];
	return NULL;
}

/* A counter that went back began anew. */
static bool goes_on(const struct pool_view *before, const struct pool_view *now)
{
	for (int f = 0; f < CONNECTION_FIELDS; f++)
		if (now->connections[f] < before->connections[f])
			return false;
	return true;
}

static bool same_master(const struct snapshot *before, const struct snapshot *now)
{
	return before->instance.pid == now->instance.pid &&
	       before->instance.started_usec == now->instance.started_usec &&
	       before->monotonic_usec < now->monotonic_usec;
}

static double per_second(uint64_t before, uint64_t now, double seconds)
{
	return (double)(now - before) / seconds;
}

/* By the line through both looks. */
static double time_to_full(const struct pool_view *before, const struct pool_view *now,
			   double seconds)
{
	double most = (double)now->values[POOL_workers_max];
	double rise = ((double)now->busy - (double)before->busy) / seconds;

	if ((double)now->busy >= most)
		return 0;
	return rise > 0 ? (most - (double)now->busy) / rise : INFINITY;
}

static void compute_pool(const struct pool_view *before, const struct pool_view *now,
			 double seconds, struct pool_rates *r)
{
	const uint64_t *b = before->connections, *n = now->connections;

	r->seconds = seconds;
	r->accepted = per_second(b[CONN_accepted], n[CONN_accepted], seconds);
	r->finished = per_second(b[CONN_finished], n[CONN_finished], seconds);
	r->refused = per_second(view_sum(b, "refused_"), view_sum(n, "refused_"), seconds);
	r->aborted = per_second(view_sum(b, "aborted_") + b[CONN_timed_out],
				view_sum(n, "aborted_") + n[CONN_timed_out], seconds);
	r->ended = r->finished + r->refused + r->aborted;
	r->busy = per_second(b[CONN_busy_usec], n[CONN_busy_usec], seconds) / (double)USEC_PER_SEC;
	r->full_in = time_to_full(before, now, seconds);
	r->times = now->times;
	r->waits = now->waits;
	histogram_subtract(&r->times, &before->times);
	histogram_subtract(&r->waits, &before->waits);
}

void rates_compute(const struct snapshot *before, const struct snapshot *now,
		   struct pool_rates *out)
{
	double seconds = ((double)now->monotonic_usec - (double)before->monotonic_usec) /
			 (double)USEC_PER_SEC;

	for (uint32_t i = 0; i < now->pool_count; i++) {
		const struct pool_view *pool = &now->pools[i];
		const struct pool_view *earlier = snapshot_find_pool(before, pool);

		out[i] = (struct pool_rates){.full_in = INFINITY};
		if (earlier && same_master(before, now) && pool_counts_connections(pool) &&
		    goes_on(earlier, pool))
			compute_pool(earlier, pool, seconds, &out[i]);
	}
}
