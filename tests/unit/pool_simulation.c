/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <check.h>
#include <string.h>

#include "pool_simulation.h"

/* ck_assert() writes a file for each success: too slow for so many. */
#define REQUIRE(ok)                              \
	do {                                     \
		if (!(ok))                       \
			ck_abort_msg("%s", #ok); \
	} while (0)

void sim_init(struct sim *s, const struct pool_settings *settings)
{
	memset(s, 0, sizeof(*s));
	s->settings = *settings;
	s->now = SEC;
	s->step = 100;
	s->start_usec = 300;
	s->total = SIM_WORKERS_MAX;
	s->next = 0;
}

struct pool_counts sim_count(const struct sim *s)
{
	struct pool_counts c = {0};

	for (unsigned i = 0; i < s->high; i++) {
		const struct sim_worker *w = &s->workers[i];

		if (w->state == SIM_NONE)
			continue;
		if (w->leaving)
			c.leaving++;
		else if (w->old)
			c.old++;
		else if (w->state == SIM_STARTING)
			c.starting++;
		else
			c.ready++;
	}
	return c;
}

/* ---- what workers do ---- */

static void set(struct sim *s, struct sim_worker *w, enum sim_state state)
{
	s->idle += (state == SIM_IDLE) - (w->state == SIM_IDLE);
	s->busy += (state == SIM_BUSY) - (w->state == SIM_BUSY);
	w->state = state;
	if (s->idle < s->least)
		s->least = s->idle;
}

static void take(struct sim *s, struct sim_worker *w)
{
	uint64_t wait = s->now - s->waiting[s->queue_first];

	s->longest_wait = wait > s->longest_wait ? wait : s->longest_wait;
	w->until = s->now + s->holds[s->queue_first];
	s->queue_first = (s->queue_first + 1) % SIM_WORKERS_MAX;
	s->queued--;
	s->begun++;
	set(s, w, SIM_BUSY);
	/* The worker that takes the last spare says so. */
	if (s->armed && s->idle < pool_low(&s->settings) + s->stuck) {
		s->armed = false;
		s->next = s->now;
	}
}

static void become_ready(struct sim *s, struct sim_worker *w)
{
	if (s->dies) {
		set(s, w, SIM_NONE);
		s->failed++;
		pool_failed(&s->health, s->now + s->skew, s->failed);
	} else {
		set(s, w, SIM_IDLE);
		pool_succeeded(&s->health);
	}
	s->next = s->now;
}

static void step_worker(struct sim *s, struct sim_worker *w, unsigned *cpus)
{
	if (w->stopped)
		return;
	if (w->state == SIM_STARTING && s->now >= w->until)
		become_ready(s, w);
	if (w->state == SIM_BUSY && s->cpus > 0 && w->until > s->now) {
		/* Work is only done by who has a CPU. */
		if (*cpus == 0)
			w->until += s->step;
		else
			--*cpus;
	}
	if (w->state == SIM_BUSY && s->now >= w->until) {
		set(s, w, SIM_IDLE);
		s->served++;
	}
	if (w->state == SIM_IDLE && w->leaving) {
		set(s, w, SIM_NONE);
		s->next = s->now;
	}
	if (w->state == SIM_IDLE && s->queued > 0)
		take(s, w);
}

/* ---- what the master does ---- */

static void start_one(struct sim *s)
{
	unsigned i = 0;

	if (s->fork_fails) {
		s->failed++;
		pool_failed(&s->health, s->now + s->skew, s->failed);
		return;
	}
	while (i < s->high && s->workers[i].state != SIM_NONE)
		i++;
	REQUIRE(i < SIM_WORKERS_MAX);
	s->high = i + 1 > s->high ? i + 1 : s->high;
	s->workers[i] = (struct sim_worker){
		.state = SIM_STARTING, .until = s->now + s->start_usec + s->started % 4 * s->step};
	s->started++;
}

static bool may_go(const struct sim *s, const struct sim_worker *w)
{
	return w->state == SIM_IDLE || (s->plan.shrink_any && w->state == SIM_BUSY);
}

static void let_go(struct sim *s, unsigned count, bool old)
{
	for (unsigned i = 0; i < s->high && count > 0; i++) {
		struct sim_worker *w = &s->workers[i];

		if (w->state == SIM_NONE || w->leaving || w->old != old || (!old && !may_go(s, w)))
			continue;
		w->leaving = true;
		s->let_go++;
		count--;
	}
}

static void hold_to_its_word(const struct sim *s, const struct pool_counts *c,
			     const struct pool_plan *p)
{
	const struct pool_settings *set = &s->settings;

	REQUIRE(p->history.size >= set->workers);
	REQUIRE(p->history.size <= pool_most(set));
	REQUIRE(p->start + c->starting <= set->max_starting || p->start == 0);
	REQUIRE(p->start == 0 || s->now + s->skew >= s->health.retry);
	REQUIRE(p->retire <= c->old);
	REQUIRE(p->shrink + p->retire == 0 || c->ready + c->old >= p->history.size);
	REQUIRE(p->next_usec > s->now + s->skew);
	REQUIRE(!p->watch || s->idle + c->starting == 0);
	REQUIRE(s->health.failures == 0 || p->start <= 1);
	REQUIRE(p->reason < POOL_REASONS);
}

static void look(struct sim *s)
{
	struct pool_counts c = sim_count(s);
	unsigned all = c.ready + c.starting + c.old + c.leaving;
	unsigned idle = s->idle - s->stuck;
	bool asks = idle < pool_low(&s->settings);
	struct pool_load load = {
		.idle = idle,
		.least = s->least > s->stuck ? s->least - s->stuck : 0,
		.queued = asks ? s->queued : 0,
		.begun = s->begun,
		.room = s->total > all ? s->total - all : 0,
		.short_of_cpu = s->cpus > 0 && s->busy > s->cpus,
	};
	uint64_t now = s->now + s->skew;

	s->looks++;
	s->plan = pool_plan(&s->settings, &c, &load, &s->history, &s->health, now);
	hold_to_its_word(s, &c, &s->plan);
	s->history = s->plan.history;
	s->least = s->idle;
	for (unsigned i = 0; i < s->plan.start; i++)
		start_one(s);
	let_go(s, s->plan.retire, true);
	let_go(s, s->plan.shrink, false);
	s->armed = s->plan.arm;
	s->watch = s->plan.watch;
	s->next = s->plan.next_usec == POOL_NEVER ? SIM_NEVER : s->plan.next_usec - s->skew;
	if (s->health.retry > now && s->health.retry - s->skew < s->next)
		s->next = s->health.retry - s->skew;
}

static void count_stuck(struct sim *s)
{
	s->stuck = 0;
	for (unsigned i = 0; i < s->high; i++)
		s->stuck += s->workers[i].stopped;
	s->next = s->now;
}

static void see_queue(struct sim *s)
{
	s->see_next = s->now + SEC;
	if (pool_stalls(&s->stall, s->queued > 0, s->begun))
		count_stuck(s);
}

static void step(struct sim *s)
{
	unsigned cpus = s->cpus, all = 0;

	if (s->now >= s->see_next)
		see_queue(s);
	/* The master first: its timers are due. */
	if (s->now >= s->next || (s->watch && s->queued > 0))
		look(s);
	for (unsigned i = 0; i < s->high; i++) {
		step_worker(s, &s->workers[i], &cpus);
		all += s->workers[i].state != SIM_NONE;
	}
	s->most = all > s->most ? all : s->most;
	s->now += s->step;
}

/* ---- for the tests ---- */

void sim_come(struct sim *s, unsigned count, uint64_t holds)
{
	for (; count > 0; count--) {
		unsigned at = (s->queue_first + s->queued++) % SIM_WORKERS_MAX;

		REQUIRE(s->queued < SIM_WORKERS_MAX);
		s->waiting[at] = s->now;
		s->holds[at] = holds;
	}
}

void sim_run(struct sim *s, uint64_t usec)
{
	for (uint64_t end = s->now + usec; s->now < end;)
		step(s);
}

bool sim_run_until_taken(struct sim *s, uint64_t most)
{
	for (uint64_t end = s->now + most; s->queued > 0 && s->now < end;)
		step(s);
	return s->queued == 0;
}

void sim_stop(struct sim *s, unsigned count)
{
	for (unsigned i = 0; i < s->high && count > 0; i++) {
		struct sim_worker *w = &s->workers[i];

		if (w->state != SIM_IDLE || w->stopped)
			continue;
		w->stopped = true;
		count--;
	}
}

void sim_go_on(struct sim *s)
{
	for (unsigned i = 0; i < s->high; i++)
		s->workers[i].stopped = false;
	count_stuck(s);
}

void sim_recycle(struct sim *s)
{
	for (unsigned i = 0; i < s->high; i++)
		s->workers[i].old = s->workers[i].state != SIM_NONE;
	s->next = s->now;
}
