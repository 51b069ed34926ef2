/* SPDX-License-Identifier: ISC */
#include <config.h>

#include "master/pool.h"

#define BACKOFF_FIRST UINT64_C(100000)
#define BACKOFF_MOST  UINT64_C(30000000)
/* After so long without a failure the next one counts as the first. */
#define BACKOFF_FORGET (2 * BACKOFF_MOST)

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/*
 * Workers to start: up to what is wanted, and while old ones are replaced some more, so that a new
 * one is ready before an old one leaves. Those that leave do not count: they serve their last
 * client.
 */
static unsigned wanting(const struct pool_settings *s, const struct pool_counts *c)
{
	unsigned fresh = c->ready + c->starting;
	unsigned serving = fresh + c->old;
	unsigned missing = fresh < s->workers ? s->workers - fresh : 0;

	if (c->old == 0 || serving < s->workers)
		return c->old ? least(missing, s->workers - serving) : missing;
	/* A quarter of the pool at a time. */
	return least(missing, c->starting == 0 ? (s->workers + 3) / 4 : 0);
}

struct pool_plan pool_plan(const struct pool_settings *s, const struct pool_counts *c,
			   const struct pool_health *health, uint64_t now)
{
	struct pool_plan plan = {.next_usec = POOL_NEVER};
	unsigned room = c->starting < s->max_starting ? s->max_starting - c->starting : 0;
	unsigned want = wanting(s, c);

	/* Old ones go only for ready ones. */
	if (c->ready + c->old > s->workers)
		plan.retire = least(c->old, c->ready + c->old - s->workers);
	if (want && now < health->retry) {
		plan.next_usec = health->retry;
		return plan;
	}
	plan.start = least(want, room);
	/* In batches: workers that are forked together share what the master writes afterwards. */
	if (plan.start < want && c->starting > 0)
		plan.start = 0;
	/* A pool that fails is tried with one worker at a time. */
	if (health->failures)
		plan.start = least(plan.start, c->starting == 0 ? 1 : 0);
	return plan;
}

void pool_failed(struct pool_health *health, uint64_t now, uint32_t random)
{
	uint64_t pause = BACKOFF_FIRST;

	if (health->failures && now - health->last_failure > BACKOFF_FORGET)
		health->failures = 0;
	for (unsigned i = 0; i < health->failures && pause < BACKOFF_MOST; i++)
		pause *= 2;
	if (pause > BACKOFF_MOST)
		pause = BACKOFF_MOST;
	health->failures++;
	health->last_failure = now;
	health->retry = now + pause - pause / 4 * (random % 1024) / 1024;
}

void pool_succeeded(struct pool_health *health)
{
	*health = (struct pool_health){0};
}

uint64_t pool_recycle_after(uint64_t after, uint32_t random)
{
	uint64_t tenth = after / 10;

	return tenth ? after - tenth + random % (2 * tenth + 1) : after;
}
