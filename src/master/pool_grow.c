/* SPDX-License-Identifier: ISC */
/*
 * When a pool grows.
 *
 * Clients that would have to wait want more workers at once, as many as they are. Not so where the
 * workers there are will be free again in a moment; and where they are done fast, but not fast
 * enough, or as fast as a machine lets them that is short of processors, it is tried out: half as
 * many again, and if that does not get noticeably more clients done, what they wait for is a CPU.
 * Those workers leave again, and the next trial is later.
 */
#include <config.h>

#include "master/pool_look.h"

/* How old a measurement may be. */
#define STALE_USEC UINT64_C(100000)
/* For one: at the begin, and where clients are usually done fast, that none is may be the
 * scheduler's doing; or until so many are done that it is no chance. */
#define MEASURE_USEC      UINT64_C(500)
#define MEASURE_FAST_USEC UINT64_C(4000)
#define MEASURE_MOST_USEC UINT64_C(5000)
#define ENOUGH            16
/* A worker that has a client for less is done fast: in so many times POOL_PATIENCE_USEC. */
#define FAST 4
/* The two halves of a trial, and what follows one that was in vain. */
#define TRIAL_USEC      UINT64_C(20000)
#define HOLD_FIRST_USEC UINT64_C(1000000)
#define HOLD_MOST_USEC  UINT64_C(60000000)

/* All have a client for so long. */
#define EMPTY_USEC UINT64_C(100000)

/* ---- how fast its workers are done ---- */

static void mark(const struct pool_look *k)
{
	k->h->mark_usec = k->now;
	k->h->mark_ended = k->ended;
}

/* Numbers that are corrected may go back. */
static unsigned since(const struct pool_look *k, uint32_t ended)
{
	uint32_t count = k->ended - ended;

	return count > INT32_MAX ? 0 : count;
}

static void set_measured(const struct pool_look *k, unsigned count, uint64_t passed)
{
	struct pool_history *h = k->h;

	h->delivers = passed ? (unsigned)(count * POOL_PATIENCE_USEC / passed) : 0;
	h->fast = h->delivers > 0 && h->delivers * FAST >= k->serving;
	h->sure = count >= ENOUGH;
	h->measured = true;
	mark(k);
}

/* Returns false while it is not known yet. */
static bool measure(const struct pool_look *k)
{
	struct pool_history *h = k->h;
	uint64_t passed = k->now - h->mark_usec;
	unsigned count = since(k, h->mark_ended);

	/* Nobody works yet who could end anything. */
	if (k->serving == 0) {
		set_measured(k, 0, 0);
		return true;
	}
	if (h->mark_usec == 0 || k->now < h->mark_usec || passed > STALE_USEC) {
		mark(k);
		h->measured = false;
		return false;
	}
	if (passed < (h->fast ? MEASURE_FAST_USEC : MEASURE_USEC))
		return h->measured;
	/* Some are done fast, too few to be sure. */
	if (count > 0 && count < ENOUGH && passed < MEASURE_MOST_USEC &&
	    count * POOL_PATIENCE_USEC / passed * FAST >= k->serving)
		return false;
	set_measured(k, count, passed);
	return true;
}

static uint64_t measured_by(const struct pool_history *h, uint64_t now)
{
	uint64_t first = h->mark_usec + (h->fast ? MEASURE_FAST_USEC : MEASURE_USEC);

	return first > now ? first : h->mark_usec + MEASURE_MOST_USEC;
}

/* ---- so many more ---- */

/*
 * Clients that wait, or would have to wait next, beyond the workers there are and will be. Nobody
 * waits where nobody comes; where clients wait beside idle workers those hold them back (`rate`).
 */
static unsigned missing_for_load(const struct pool_look *k)
{
	uint64_t wanted = (uint64_t)k->s->spare + k->load->queued;
	uint64_t have = (uint64_t)k->load->idle + k->coming;

	if (k->load->idle >= pool_low(k->s) || (k->busy == 0 && k->load->queued == 0))
		return 0;
	return wanted > have ? (unsigned)least((unsigned)(wanted - have), INT32_MAX) : 0;
}

/* Not one by one: those that are forked together cost less, and share more. */
static unsigned may_start(const struct pool_look *k, unsigned wanted)
{
	unsigned most_starting = k->s->max_starting, starting = k->c->starting;
	unsigned room = most_starting > starting ? most_starting - starting : 0;

	return wanted > room && 2 * room < most_starting ? 0 : room;
}

static void add(const struct pool_look *k, struct pool_plan *plan, unsigned more)
{
	unsigned size = k->h->size, most_more = pool_most(k->s) - size;

	if (most_more == 0) {
		pool_attend(plan, POOL_IS_FULL, k->now + POOL_FULL_USEC);
	} else if (k->load->room == 0) {
		pool_attend(plan, POOL_IS_CAPPED, k->now + POOL_CAPPED_USEC);
	} else {
		more = least(least(more, most_more), k->load->room);
		k->h->size = size + least(more, may_start(k, more));
		pool_attend(plan, POOL_GROWS, k->now + POOL_LOOK_USEC);
	}
}

/* ---- whether more would help ---- */

static void begin_half(const struct pool_look *k, struct pool_plan *plan, enum pool_trial phase)
{
	struct pool_history *h = k->h;

	h->trial = phase;
	h->trial_usec = k->now;
	h->trial_ended = k->ended;
	pool_attend(plan, POOL_MEASURES, k->now + TRIAL_USEC);
}

/* Returns false while that half lasts; else how many ended in it. */
static bool half_is_over(const struct pool_look *k, struct pool_plan *plan, unsigned *count)
{
	const struct pool_history *h = k->h;
	uint64_t passed = k->now - h->trial_usec;

	if (k->now >= h->trial_usec && passed < TRIAL_USEC) {
		pool_attend(plan, POOL_MEASURES, h->trial_usec + TRIAL_USEC);
		return false;
	}
	*count = passed ? (unsigned)(since(k, h->trial_ended) * TRIAL_USEC / passed) : 0;
	return true;
}

static bool may_be_more(const struct pool_look *k)
{
	return k->h->size < pool_most(k->s) && k->load->room > 0;
}

static void stop_at_most(const struct pool_look *k, struct pool_plan *plan)
{
	k->h->trial = POOL_TRIAL_NONE;
	add(k, plan, 1);
}

static void begin_step(const struct pool_look *k, struct pool_plan *plan, unsigned count)
{
	struct pool_history *h = k->h;

	h->trial = POOL_TRIAL_STEP;
	h->trial_count = count;
	h->trial_from = h->size;
	h->trial_to = h->size + least(most(2, h->size / 2), missing_for_load(k));
	h->trial_to = least(h->trial_to, pool_most(k->s));
	add(k, plan, h->trial_to - h->size);
}

static void go_on_with_step(const struct pool_look *k, struct pool_plan *plan)
{
	struct pool_history *h = k->h;

	if (h->size < h->trial_to && k->load->room > 0)
		add(k, plan, h->trial_to - h->size);
	else if (k->coming == 0)
		begin_half(k, plan, POOL_TRIAL_AFTER);
	else
		pool_attend(plan, POOL_GROWS, k->now + POOL_LOOK_USEC);
}

/* It has just been tried in vain; that few are done now is somebody else's doing. */
static bool holds(const struct pool_look *k)
{
	uint64_t until = k->h->hold_until;

	return k->now < until && until - k->now <= HOLD_MOST_USEC;
}

static void give_up_trial(const struct pool_look *k, struct pool_plan *plan)
{
	struct pool_history *h = k->h;
	bool again = h->hold_usec && k->now < h->hold_until + 2 * h->hold_usec;

	h->trial = POOL_TRIAL_NONE;
	/* And a little less than before: what grew by chance goes again. If that was too few, the
	 * next trial shows it. */
	h->size = least(h->size, most(h->trial_from - (h->trial_from + 7) / 8, k->s->workers));
	h->hold_usec = again ? sooner(2 * h->hold_usec, HOLD_MOST_USEC) : HOLD_FIRST_USEC;
	h->hold_until = k->now + h->hold_usec;
	pool_attend(plan, POOL_FLOWS, k->now + POOL_LOOK_USEC);
}

/* A quarter more clients for half as many workers again is worth it. */
static void try_more(const struct pool_look *k, struct pool_plan *plan)
{
	struct pool_history *h = k->h;
	unsigned count;

	switch (h->trial) {
	case POOL_TRIAL_NONE:
		if (holds(k))
			pool_attend(plan, POOL_FLOWS, k->now + POOL_LOOK_USEC);
		else if (!may_be_more(k))
			stop_at_most(k, plan);
		else
			begin_half(k, plan, POOL_TRIAL_BEFORE);
		break;
	case POOL_TRIAL_BEFORE:
		if (half_is_over(k, plan, &count))
			begin_step(k, plan, count);
		break;
	case POOL_TRIAL_STEP:
		go_on_with_step(k, plan);
		break;
	case POOL_TRIAL_AFTER:
		if (!half_is_over(k, plan, &count))
			break;
		if ((uint64_t)count * 4 < (uint64_t)h->trial_count * 5)
			give_up_trial(k, plan);
		else if (missing_for_load(k) == 0)
			h->trial = POOL_TRIAL_NONE;
		else if (may_be_more(k))
			begin_step(k, plan, count);
		else
			stop_at_most(k, plan);
		break;
	}
}

/*
 * Without spare ones nobody says so when a client comes and all have one: somebody else must see
 * it. Not at once, where clients come and go; for such as stay there is no need to look all the
 * time.
 */
static void look_out(const struct pool_look *k, struct pool_plan *plan)
{
	struct pool_history *h = k->h;

	if (k->load->idle > 0 || k->busy == 0 || k->coming > 0 || h->size == pool_most(k->s)) {
		h->empty_usec = 0;
		return;
	}
	if (h->empty_usec == 0 || k->now < h->empty_usec)
		h->empty_usec = k->now;
	if (k->now - h->empty_usec < EMPTY_USEC)
		pool_attend(plan, POOL_RESTS, k->now + POOL_LOOK_USEC);
	else
		plan->watch = true;
}

static void rest(const struct pool_look *k, struct pool_plan *plan)
{
	/* What is measured while there is little to do says nothing of what can be done. */
	k->h->mark_usec = 0;
	k->h->trial = POOL_TRIAL_NONE;
	look_out(k, plan);
}

void pool_grow(const struct pool_look *k, struct pool_plan *plan)
{
	struct pool_history *h = k->h;
	unsigned missing = missing_for_load(k);

	if (h->trial == POOL_TRIAL_STEP || h->trial == POOL_TRIAL_AFTER) {
		if (!measure(k) || h->fast) {
			try_more(k, plan);
			return;
		}
		h->trial = POOL_TRIAL_NONE;
	}
	if (missing > 0)
		h->empty_usec = 0;
	if (missing == 0) {
		rest(k, plan);
	} else if (!measure(k)) {
		pool_attend(plan, POOL_MEASURES, measured_by(h, k->now));
	} else if (missing <= h->delivers) {
		h->trial = POOL_TRIAL_NONE;
		pool_attend(plan, POOL_FLOWS, k->now + POOL_LOOK_USEC);
	} else if (h->fast && (h->sure || k->load->short_of_cpu || holds(k))) {
		try_more(k, plan);
	} else {
		h->trial = POOL_TRIAL_NONE;
		add(k, plan, missing - h->delivers);
	}
}
