/* SPDX-License-Identifier: ISC */
#include <config.h>

#include "master/pool_look.h"

#define BACKOFF_FIRST UINT64_C(100000)
#define BACKOFF_MOST  UINT64_C(30000000)
/* After so long without a failure the next one counts as the first. */
#define BACKOFF_FORGET (2 * BACKOFF_MOST)

const char *const pool_reason_names[POOL_REASONS] = {
	"rests", "fills up", "replaces workers", "measures", "workers are done fast enough",
	"grows", "is full",  "workers_total",    "shrinks",  "backs off",
};

unsigned pool_most(const struct pool_settings *s)
{
	return most(s->workers, s->workers_max);
}

bool pool_is_elastic(const struct pool_settings *s)
{
	return pool_most(s) > s->workers;
}

unsigned pool_low(const struct pool_settings *s)
{
	return most(s->spare, 1);
}

void pool_attend(struct pool_plan *plan, enum pool_reason reason, uint64_t next)
{
	plan->reason = reason;
	plan->arm = false;
	plan->next_usec = sooner(plan->next_usec, next);
}

/* ---- shrinking ---- */

static void begin_window(const struct pool_look *k)
{
	k->h->window_usec = k->now;
	k->h->window_begun = k->load->begun;
	k->h->window_least = k->load->idle;
}

/* Of a pool that had no client at all, the spare ones too: it has had nothing to keep ahead of. */
static unsigned excess(const struct pool_look *k)
{
	bool quiet = k->load->begun == k->h->window_begun && k->busy == 0;
	unsigned kept = quiet ? 0 : k->s->spare, least_idle = k->h->window_least;

	return least_idle > kept ? least(least_idle - kept, k->h->size - k->s->workers) : 0;
}

static void shrink(const struct pool_look *k, struct pool_plan *plan)
{
	struct pool_history *h = k->h;
	unsigned too_many;

	if (h->size <= k->s->workers || k->s->shrink_after == 0 || k->c->old > 0) {
		h->window_usec = 0;
		return;
	}
	h->window_least = least(h->window_least, least(k->load->least, k->load->idle));
	if (h->window_usec == 0 || k->now < h->window_usec) {
		begin_window(k);
	} else if (k->now - h->window_usec >= k->s->shrink_after) {
		too_many = excess(k);
		begin_window(k);
		if (too_many > 0) {
			h->size -= (too_many + 1) / 2;
			plan->reason = POOL_SHRINKS;
		}
	}
	plan->next_usec = sooner(plan->next_usec, h->window_usec + k->s->shrink_after);
}

/* ---- the plan ---- */

/*
 * Workers to start: up to the size, and while old ones are replaced some more, so that a new one is
 * ready before an old one leaves. Those that leave do not count: they serve their last client.
 */
static unsigned wanting(unsigned size, const struct pool_counts *c)
{
	unsigned fresh = c->ready + c->starting;
	unsigned serving = fresh + c->old;
	unsigned missing = fresh < size ? size - fresh : 0;

	if (c->old == 0 || serving < size)
		return c->old ? least(missing, size - serving) : missing;
	/* A quarter of the pool at a time. */
	return least(missing, c->starting == 0 ? (size + 3) / 4 : 0);
}

static void resize(const struct pool_settings *s, const struct pool_counts *c,
		   const struct pool_load *load, const struct pool_health *health, uint64_t now,
		   struct pool_plan *plan)
{
	struct pool_look k = {.s = s,
			      .c = c,
			      .load = load,
			      .h = &plan->history,
			      .now = now,
			      .serving = c->ready + c->old};
	unsigned all = k.serving + c->starting, size = plan->history.size;

	k.busy = k.serving > load->idle ? k.serving - load->idle : 0;
	k.ended = load->begun - k.busy;
	k.coming = c->starting + (size > all ? size - all : 0);
	plan->arm = true;
	if (now >= health->retry)
		pool_grow(&k, plan);
	/* Not where it has just grown: that is how the least number of idle ones came about. */
	if (plan->reason != POOL_GROWS)
		shrink(&k, plan);
}

static void say(struct pool_plan *plan, enum pool_reason reason)
{
	if (plan->reason == POOL_RESTS)
		plan->reason = reason;
}

/* Old ones go only for ready ones; and who is too many. */
static void let_go(const struct pool_counts *c, uint64_t now, struct pool_plan *plan)
{
	unsigned size = plan->history.size, too_many;

	if (c->ready + c->old <= size)
		return;
	too_many = c->ready + c->old - size;
	plan->retire = least(c->old, too_many);
	plan->shrink = too_many - plan->retire;
	plan->shrink_any = plan->history.fast;
	say(plan, plan->retire ? POOL_REPLACES : POOL_SHRINKS);
	/* They may all have a client just now. */
	if (plan->shrink)
		plan->next_usec = sooner(plan->next_usec, now + POOL_CAPPED_USEC);
}

static void start(const struct pool_settings *s, const struct pool_counts *c,
		  const struct pool_health *health, uint64_t now, struct pool_plan *plan)
{
	unsigned room = c->starting < s->max_starting ? s->max_starting - c->starting : 0;
	unsigned want = wanting(plan->history.size, c);

	if (want && now < health->retry) {
		pool_attend(plan, POOL_BACKS_OFF, health->retry);
		return;
	}
	plan->start = least(want, room);
	/* In batches: workers that are forked together share what the master writes afterwards. */
	if (plan->start < want && c->starting > 0)
		plan->start = 0;
	/* A pool that fails is tried with one worker at a time. */
	if (health->failures)
		plan->start = least(plan->start, c->starting == 0 ? 1 : 0);
	if (plan->start)
		say(plan, c->old ? POOL_REPLACES : POOL_FILLS);
}

struct pool_plan pool_plan(const struct pool_settings *s, const struct pool_counts *c,
			   const struct pool_load *load, const struct pool_history *history,
			   const struct pool_health *health, uint64_t now)
{
	struct pool_plan plan = {.next_usec = POOL_NEVER, .history = *history};

	plan.history.size = most(s->workers, least(history->size, pool_most(s)));
	if (load && pool_is_elastic(s))
		resize(s, c, load, health, now, &plan);
	let_go(c, now, &plan);
	start(s, c, health, now, &plan);
	plan.watch |= load && plan.history.size == 0 && c->ready + c->starting + c->old == 0 &&
		      now >= health->retry;
	return plan;
}

bool pool_stalls(struct pool_stall *stall, bool waits, uint32_t begun)
{
	bool stalls = waits && stall->waited && stall->begun == begun;

	*stall = (struct pool_stall){.waited = waits, .begun = begun};
	return stalls;
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
