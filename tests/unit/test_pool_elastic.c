/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <check.h>
#include <stdlib.h>

#include "pool_simulation.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(*(array))))

static struct sim sim; /* big */

static const struct pool_settings usual = {
	.workers = 2, .max_starting = 4, .workers_max = 64, .spare = 2, .shrink_after = MIN};

static struct sim *begin(struct pool_settings settings)
{
	sim_init(&sim, &settings);
	sim_run(&sim, 20 * MSEC + settings.workers * MSEC);
	ck_assert_uint_eq(sim.idle, settings.workers);
	sim.longest_wait = 0;
	sim.started = sim.looks = 0;
	return &sim;
}

static struct pool_settings from_to(unsigned workers, unsigned workers_max)
{
	struct pool_settings settings = usual;

	settings.workers = workers;
	settings.workers_max = workers_max;
	return settings;
}

/* ---- at rest ---- */

START_TEST(test_rests)
{
	struct sim *s = begin(usual);

	sim_run(s, MIN);
	ck_assert_uint_eq(s->started, 0);
	/* Nobody wakes it. */
	ck_assert_uint_eq(s->looks, 0);
	ck_assert(s->armed);
}
END_TEST

/* More spare ones than workers are not wanted before anybody comes. */
START_TEST(test_rests_below_spare)
{
	struct pool_settings settings = usual;
	struct sim *s;

	settings.spare = 10;
	s = begin(settings);
	sim_run(s, SEC);
	ck_assert_uint_eq(s->started, 0);
	sim_come(s, 1, 5 * SEC);
	sim_run(s, SEC);
	ck_assert_uint_eq(s->idle, 10);
	ck_assert_uint_eq(s->started, 9);
}
END_TEST

/* ---- bursts ---- */

static const struct {
	struct pool_settings settings;
	unsigned clients;
	uint64_t within;
} bursts[] = {
	{{2, 4, 64, 2, MIN}, 64, 12 * MSEC},        {{0, 4, 64, 2, MIN}, 64, 12 * MSEC},
	{{2, 4, 10, 2, MIN}, 10, 4 * MSEC},         {{1, 4, 64, 0, MIN}, 30, 20 * MSEC},
	{{4, 8, 1000, 5, MIN}, 1000, 100 * MSEC},   {{50, 4, 1000, 50, MIN}, 900, 150 * MSEC},
	{{10, 4, 10000, 2, MIN}, 2000, 400 * MSEC}, {{0, 64, 10000, 100, MIN}, 10000, 150 * MSEC},
};

START_TEST(test_burst)
{
	struct sim *s = begin(bursts[_i].settings);

	sim_come(s, bursts[_i].clients, 10 * SEC);
	ck_assert(sim_run_until_taken(s, bursts[_i].within));
	ck_assert_uint_le(s->most, bursts[_i].settings.workers_max);
	/* And so many as are to be spare, where there may be. */
	sim_run(s, 100 * MSEC);
	if (bursts[_i].clients + bursts[_i].settings.spare <= bursts[_i].settings.workers_max)
		ck_assert_uint_eq(s->idle, bursts[_i].settings.spare);
}
END_TEST

/* More than workers_max are served in turn, and it says that it is full. */
START_TEST(test_burst_beyond_the_most)
{
	struct sim *s = begin(usual);

	sim_come(s, 200, 100 * MSEC);
	sim_run(s, 50 * MSEC);
	ck_assert_uint_eq(s->busy, 64);
	ck_assert_int_eq(s->plan.reason, POOL_IS_FULL);
	ck_assert(sim_run_until_taken(s, SEC));
	ck_assert_uint_eq(s->most, 64);
}
END_TEST

/* workers_total leaves less than workers_max; when more is left, it is used. */
START_TEST(test_burst_capped)
{
	struct sim *s = begin(usual);

	s->total = 2;
	sim_come(s, 30, 10 * SEC);
	sim_run(s, SEC);
	ck_assert_uint_eq(s->busy, 2);
	ck_assert_int_eq(s->plan.reason, POOL_IS_CAPPED);
	s->total = 7;
	sim_run(s, SEC);
	ck_assert_uint_eq(s->busy, 7);
	ck_assert_uint_eq(s->most, 7);
	ck_assert_uint_le(s->looks, 60);
	s->total = 1000;
	ck_assert(sim_run_until_taken(s, SEC));
}
END_TEST

/* Without spare ones: nobody says so when one more comes, at once or much later. */
START_TEST(test_without_spare)
{
	static const uint64_t pauses[] = {MSEC, 9 * MSEC, 50 * MSEC, 150 * MSEC, SEC, 10 * SEC};
	struct pool_settings settings = {1, 4, 64, 0, MIN};
	struct sim *s = begin(settings);

	for (int i = 0; i < 40; i++) {
		sim_come(s, 1, 60 * MIN);
		ck_assert(sim_run_until_taken(s, 12 * MSEC));
		sim_run(s, pauses[i % COUNT(pauses)]);
	}
	ck_assert_uint_eq(s->busy, 40);
	ck_assert_uint_eq(s->idle, 0);
	sim_run(s, SEC);
	s->looks = 0;
	sim_run(s, 30 * SEC);
	ck_assert_uint_le(s->looks, 1);
}
END_TEST

/* The same with clients that come and go all the time: no look for each. */
START_TEST(test_without_spare_and_fast)
{
	struct pool_settings settings = {1, 4, 64, 0, MIN};
	struct sim *s = begin(settings);

	for (int i = 0; i < 5000; i++) {
		sim_come(s, 1, 100);
		sim_run(s, 200);
	}
	ck_assert_uint_le(s->looks, 250);
}
END_TEST

/* Where the kernel only tells that somebody waits. */
START_TEST(test_one_by_one)
{
	struct sim *s = begin(from_to(1, 64));

	for (int i = 0; i < 50; i++) {
		sim_come(s, 1, MIN);
		sim_run(s, 10 * MSEC);
		/* Ahead of the load: whoever comes finds an idle one. */
		ck_assert_uint_eq(s->longest_wait, 0);
		ck_assert_uint_eq(s->idle, 2);
	}
	ck_assert_uint_eq(s->started, 51);
}
END_TEST

/* ---- clients that are done fast ---- */

/* A closed loop on two CPUs: more workers would not help, and do not come. */
START_TEST(test_flows)
{
	struct sim *s = begin(from_to(16, 1000));
	unsigned clients = 64;

	s->cpus = 2;
	for (int i = 0; i < 50000; i++) {
		unsigned there = s->queued + s->busy;

		if (there < clients)
			sim_come(s, clients - there, 100);
		sim_run(s, 100);
	}
	ck_assert_uint_gt(s->served, 50000);
	ck_assert_uint_le(s->most, 24);
	/* 5 s: the master looks now and then, not all the time. */
	ck_assert_uint_le(s->looks, 1500);
}
END_TEST

/* The same in short bursts with pauses, each of which begins with a pool that is asleep. */
START_TEST(test_flows_in_bursts)
{
	struct sim *s = begin(from_to(16, 1000));

	s->cpus = 2;
	for (int i = 0; i < 100; i++) {
		sim_come(s, 200, 100);
		sim_run(s, 500 * MSEC);
	}
	ck_assert_uint_eq(s->served, 20000);
	ck_assert_uint_le(s->most, 32);
}
END_TEST

/* A closed loop of so many clients, for a while. */
static void loop(struct sim *s, unsigned clients, uint64_t holds, uint64_t usec)
{
	for (uint64_t end = s->now + usec; s->now < end;) {
		unsigned there = s->queued + s->busy;

		if (there < clients)
			sim_come(s, clients - there, holds);
		sim_run(s, s->step);
	}
}

/* On a machine that is so slow, or so busy with others, that its clients have to wait for long:
 * more workers are tried, and leave again; less and less often. */
START_TEST(test_short_of_cpu)
{
	struct sim *s = begin(from_to(2, 1000));

	s->cpus = 1;
	loop(s, 200, 300, 5 * SEC);
	ck_assert_uint_le(s->history.size, 16);
	s->started = 0;
	loop(s, 200, 300, 100 * SEC);
	ck_assert_uint_le(s->history.size, 16);
	ck_assert_uint_le(s->started, 60);
	ck_assert_uint_le(s->most, 40);
}
END_TEST

/* Clients whose workers wait for something else than a CPU: soon there is a worker for each. */
static const uint64_t waits[] = {500, MSEC, 2 * MSEC, 5 * MSEC, 10 * MSEC, 50 * MSEC};

START_TEST(test_waits_for_others)
{
	struct sim *s = begin(from_to(2, 1000));

	loop(s, 100, waits[_i], SEC);
	/* So many that nobody waits for longer than is reasonable; for those that take long, all.
	 */
	ck_assert_uint_ge(s->busy * (waits[_i] + POOL_PATIENCE_USEC), 90 * waits[_i]);
	ck_assert_uint_le(s->most, 104);
}
END_TEST

/* The same once it has come to be known as one whose workers are done fast. */
START_TEST(test_waits_for_others_after_all)
{
	struct sim *s = begin(from_to(2, 1000));

	s->cpus = 1;
	loop(s, 64, 100, 2 * SEC);
	s->cpus = 0;
	loop(s, 100, waits[_i], 2 * SEC);
	ck_assert_uint_ge(s->busy * (waits[_i] + POOL_PATIENCE_USEC), 90 * waits[_i]);
}
END_TEST

/* A trial that nobody comes to any more does not keep it awake. */
START_TEST(test_trial_without_end)
{
	for (uint64_t after = 0; after < 100 * MSEC; after += 3 * MSEC) {
		struct sim *s = begin(from_to(2, 1000));

		s->cpus = 1;
		loop(s, 200, 300, after);
		sim_run(s, SEC);
		s->looks = 0;
		sim_run(s, SEC);
		ck_assert_uint_eq(s->looks, 0);
		ck_assert_uint_eq(s->queued + s->busy, 0);
	}
}
END_TEST

/* Clients that hold, after a long time of such that did not. */
START_TEST(test_flows_then_holds)
{
	struct sim *s = begin(usual);

	s->cpus = 2;
	for (int i = 0; i < 1000; i++) {
		sim_come(s, 2, 100);
		sim_run(s, MSEC);
	}
	s->cpus = 0;
	s->longest_wait = 0;
	sim_come(s, 60, 10 * SEC);
	ck_assert(sim_run_until_taken(s, 20 * MSEC));
}
END_TEST

/* ---- load that changes ---- */

static unsigned starts_of_a_tooth(struct sim *s, unsigned clients)
{
	unsigned before = s->started;

	for (unsigned i = 0; i < clients; i++) {
		sim_come(s, 1, 5 * SEC);
		sim_run(s, 5 * SEC / clients);
	}
	sim_run(s, 10 * SEC);
	return s->started - before;
}

/* Teeth that are closer than shrink_after: the workers of one are there for the next. */
START_TEST(test_sawtooth)
{
	struct sim *s = begin(usual);

	s->step = 500;
	ck_assert_uint_ge(starts_of_a_tooth(s, 50), 45);
	for (int i = 0; i < 20; i++)
		ck_assert_uint_le(starts_of_a_tooth(s, 50), 3);
	ck_assert_uint_eq(s->let_go, 0);
}
END_TEST

/* One more client each second, for ever; and then one less each second. */
START_TEST(test_slow_leak)
{
	struct sim *s = begin(from_to(2, 200));
	unsigned before;

	s->step = 500;
	for (unsigned i = 0; i < 100; i++) {
		sim_come(s, 1, 100 * SEC);
		sim_run(s, SEC);
		ck_assert_uint_eq(s->idle, 2);
	}
	ck_assert_uint_eq(s->longest_wait, 0);
	ck_assert_uint_eq(s->started, 100);
	before = s->high;
	for (unsigned i = 0; i < 100; i++) {
		sim_run(s, SEC);
		ck_assert_uint_ge(s->idle, 2);
	}
	sim_run(s, 20 * MIN);
	ck_assert_uint_eq(s->idle, 2);
	ck_assert_uint_eq(s->started, 100);
	ck_assert_uint_le(s->high, before);
}
END_TEST

/* Half of what is too much at a time, once in shrink_after. */
START_TEST(test_shrinks_by_halves)
{
	static const unsigned sizes[] = {64, 33, 17, 9, 5, 3, 2, 2};
	struct sim *s = begin(usual);

	s->step = 5000;
	sim_come(s, 64, SEC);
	sim_run(s, 2 * SEC);
	/* The first window has seen the load. */
	sim_run(s, MIN);
	for (int i = 0; i < COUNT(sizes); i++) {
		ck_assert_uint_eq(s->history.size, sizes[i]);
		ck_assert_uint_eq(s->idle, sizes[i]);
		sim_run(s, MIN);
	}
	ck_assert_uint_eq(s->let_go, 62);
	/* And then it sleeps. */
	s->looks = 0;
	sim_run(s, 10 * MIN);
	ck_assert_uint_eq(s->looks, 0);
}
END_TEST

/* Not sooner, however often it is looked at meanwhile. */
START_TEST(test_shrinks_not_before)
{
	struct sim *s = begin(usual);

	s->step = 5000;
	sim_come(s, 30, SEC);
	sim_run(s, 2 * SEC + MIN);
	for (uint64_t t = 2 * SEC; t < MIN - 2 * SEC; t += SEC) {
		s->next = s->now;
		sim_run(s, SEC);
		ck_assert_uint_eq(s->history.size, 32);
	}
}
END_TEST

/* Spare ones stay as long as anybody comes. */
START_TEST(test_shrinks_to_load_and_spare)
{
	struct sim *s = begin(usual);

	s->step = 5000;
	sim_come(s, 62, SEC);
	sim_run(s, 2 * SEC);
	sim_come(s, 5, 60 * MIN);
	sim_run(s, 12 * MIN);
	ck_assert_uint_eq(s->busy, 5);
	ck_assert_uint_eq(s->idle, 2);
}
END_TEST

START_TEST(test_never_shrinks)
{
	struct pool_settings settings = usual;
	struct sim *s;

	settings.shrink_after = 0;
	s = begin(settings);
	s->step = 5000;
	sim_come(s, 64, SEC);
	sim_run(s, 60 * MIN);
	ck_assert_uint_eq(s->idle, 64);
}
END_TEST

/* Up and down by a few, faster than shrink_after and slower: no worker comes and goes with it. */
START_TEST(test_flapping)
{
	static const uint64_t periods[] = {20 * MSEC, 100 * MSEC, SEC, 10 * SEC, 50 * SEC};
	struct sim *s = begin(usual);
	uint64_t period = periods[_i];

	s->step = 1000;
	for (uint64_t t = 0; t < 10 * MIN; t += period) {
		sim_come(s, 10, period / 2);
		sim_run(s, period);
	}
	ck_assert_uint_le(s->started, 12);
	ck_assert_uint_eq(s->let_go, 0);
}
END_TEST

/* Numbers by chance for a long time: it is held to its word at each look, and comes to rest. */
START_TEST(test_any_load)
{
	uint32_t random = (uint32_t)_i;
	struct pool_settings settings = {_i % 5, 4, 5 + 37 * (unsigned)_i, _i % 4, SEC};
	struct sim *s = begin(settings);

	s->step = 500;
	for (int i = 0; i < 3000; i++) {
		random = random * UINT32_C(1664525) + UINT32_C(1013904223);
		if (s->queued < 500)
			sim_come(s, random >> 28, (random >> 8) % (200 * MSEC));
		sim_run(s, (random >> 4) % (20 * MSEC));
	}
	sim_run(s, 30 * SEC);
	ck_assert_uint_eq(s->queued + s->busy, 0);
	ck_assert_uint_eq(s->idle, settings.workers);
}
END_TEST

/* ---- what goes wrong ---- */

/* They count as idle, and take nobody: after two looks at the queue others come. */
START_TEST(test_idle_ones_stand_still)
{
	struct sim *s = begin(from_to(4, 20));
	unsigned stopped = _i + 1;

	sim_run(s, 10 * SEC);
	sim_stop(s, stopped);
	sim_come(s, 4 - stopped, MIN);
	sim_run(s, SEC);
	s->longest_wait = 0;
	/* The spare ones that are left are not there. */
	sim_come(s, 3, MIN);
	ck_assert(sim_run_until_taken(s, 2 * SEC + 100 * MSEC));
	sim_run(s, SEC);
	ck_assert_uint_ge(s->idle - stopped, 1);
	/* From now on it is known of them. */
	s->longest_wait = 0;
	sim_come(s, 4, MIN);
	ck_assert(sim_run_until_taken(s, 10 * MSEC));
	/* All go on: they are spare ones too many, no more. */
	sim_go_on(s);
	sim_run(s, SEC);
	ck_assert_uint_eq(s->stuck, 0);
	ck_assert_uint_le(s->started, 16);
	sim_run(s, 5 * MIN);
	ck_assert_uint_eq(sim_count(s).ready, 4);
}
END_TEST

/* Who waits is taken between two looks, and so is the next: nothing stalls. */
START_TEST(test_stalls)
{
	struct pool_stall stall = {0};

	ck_assert(!pool_stalls(&stall, true, 5));
	ck_assert(pool_stalls(&stall, true, 5));
	ck_assert(!pool_stalls(&stall, true, 6));
	ck_assert(!pool_stalls(&stall, false, 6));
	ck_assert(!pool_stalls(&stall, true, 6));
	ck_assert(pool_stalls(&stall, true, 6));
}
END_TEST

/* fork fails for 10 s, then no more. */
START_TEST(test_fork_fails)
{
	struct sim *s = begin(usual);

	s->fork_fails = true;
	sim_come(s, 30, MIN);
	sim_run(s, 10 * SEC);
	ck_assert_uint_eq(s->busy, 2);
	/* 100 ms, doubled each time; four at once at first. */
	ck_assert_uint_ge(s->failed, 4);
	ck_assert_uint_le(s->failed, 14);
	ck_assert_uint_le(s->looks, 40);
	/* What could not be started is not asked for again and again. */
	ck_assert_uint_le(s->history.size, 6);
	s->fork_fails = false;
	ck_assert(sim_run_until_taken(s, 30 * SEC));
	ck_assert_uint_le(s->most, 64);
}
END_TEST

START_TEST(test_die_at_start)
{
	struct sim *s = begin(usual);

	s->dies = true;
	sim_come(s, 30, MIN);
	sim_run(s, 10 * SEC);
	ck_assert_uint_eq(s->busy, 2);
	ck_assert_uint_ge(s->failed, 4);
	ck_assert_uint_le(s->failed, 14);
	s->dies = false;
	ck_assert(sim_run_until_taken(s, 30 * SEC));
}
END_TEST

/* Those of a pool without any: nobody watches in vain, and the first who lives serves. */
START_TEST(test_die_at_start_without_workers)
{
	struct sim *s = begin(from_to(0, 64));

	s->dies = true;
	sim_come(s, 1, SEC);
	sim_run(s, 10 * SEC);
	ck_assert_uint_le(s->failed, 14);
	ck_assert_uint_le(s->looks, 60);
	s->dies = false;
	ck_assert(sim_run_until_taken(s, 30 * SEC));
}
END_TEST

/* Idle workers die under load: others come. */
START_TEST(test_deaths)
{
	struct sim *s = begin(usual);

	sim_come(s, 20, MIN);
	sim_run(s, SEC);
	for (unsigned i = 0; i < s->high; i++)
		if (s->workers[i].state == SIM_IDLE) {
			s->workers[i].state = SIM_NONE;
			s->idle--;
			s->next = s->now;
		}
	sim_run(s, 100 * MSEC);
	ck_assert_uint_eq(s->idle, 2);
}
END_TEST

static const uint64_t jumps[] = {MSEC, SEC, MIN, 60 * MIN, 100 * 24 * 60 * MIN};

/* Ahead, under load: at most one half of what is too much goes too early. */
START_TEST(test_clock_jumps_ahead)
{
	struct sim *s = begin(usual);
	unsigned before;

	sim_come(s, 40, MIN);
	sim_run(s, SEC);
	before = s->started;
	for (int i = 0; i < 20; i++) {
		s->skew += jumps[_i];
		sim_run(s, SEC);
		ck_assert_uint_eq(s->idle, 2);
	}
	ck_assert_uint_eq(s->started, before);
	sim_come(s, 10, MIN);
	ck_assert(sim_run_until_taken(s, 20 * MSEC));
}
END_TEST

START_TEST(test_clock_jumps_back)
{
	struct sim *s;

	begin(usual);
	s = &sim;
	s->skew = 200 * 24 * 60 * MIN;
	sim_run(s, SEC);
	sim_come(s, 40, 2 * MIN);
	sim_run(s, SEC);
	for (int i = 0; i < 3; i++) {
		s->skew -= jumps[_i] / 4;
		sim_run(s, SEC);
		ck_assert_uint_eq(s->idle, 2);
	}
	sim_come(s, 10, 2 * MIN);
	ck_assert(sim_run_until_taken(s, 20 * MSEC));
}
END_TEST

/* The count of begun clients wraps around. */
START_TEST(test_count_wraps)
{
	struct sim *s = begin(usual);

	s->begun = UINT32_MAX - 20;
	sim_come(s, 40, 10 * SEC);
	ck_assert(sim_run_until_taken(s, 12 * MSEC));
	sim_run(s, SEC);
	ck_assert_uint_eq(s->idle, 2);
}
END_TEST

/* What workers say makes no sense at all: it stays within its bounds. */
START_TEST(test_nonsense)
{
	const struct pool_settings settings = usual;
	struct pool_history history = {0};
	struct pool_counts c = {.ready = 2};
	const struct pool_health health = {0};
	uint32_t random = 1;

	for (uint64_t i = 1; i < 100000; i++) {
		uint32_t r[5];
		struct pool_plan plan;

		for (int j = 0; j < 5; j++)
			r[j] = random = random * UINT32_C(1664525) + UINT32_C(1013904223);
		plan = pool_plan(&settings, &c,
				 &(struct pool_load){r[0] >> (r[3] & 31), r[1] >> (r[4] & 31),
						     r[2] >> (r[3] >> 5 & 31), r[3], r[4],
						     r[0] & 1},
				 &history, &health, i * 1000);
		if (plan.start > 4 || plan.history.size > 64 || plan.history.size < 2 ||
		    plan.shrink > c.ready)
			ck_abort_msg("%u to start, size %u", plan.start, plan.history.size);
		history = plan.history;
		c.ready += plan.start - plan.shrink;
	}
}
END_TEST

/* ---- without workers ---- */

START_TEST(test_none_until_a_client_comes)
{
	struct sim *s = begin(from_to(0, 64));

	sim_run(s, SEC);
	ck_assert(s->watch);
	ck_assert_uint_eq(s->looks, 0);
	sim_come(s, 1, 10 * MSEC);
	ck_assert(sim_run_until_taken(s, 2 * MSEC));
	ck_assert(!s->watch);
	s->step = 5000;
	sim_run(s, 4 * MIN);
	/* And none again. */
	ck_assert_uint_eq(s->high ? s->idle : 0, 0);
	ck_assert(s->watch);
	sim_come(s, 3, 10 * MSEC);
	s->step = 100;
	ck_assert(sim_run_until_taken(s, 2 * MSEC));
}
END_TEST

/* ---- other settings for the same workers ---- */

START_TEST(test_settings_change)
{
	struct sim *s = begin(from_to(4, 64));

	sim_come(s, 30, MIN);
	sim_run(s, 100 * MSEC);
	ck_assert_uint_eq(s->idle, 2);
	s->settings.spare = 10;
	s->next = s->now;
	sim_run(s, 100 * MSEC);
	ck_assert_uint_eq(s->idle, 10);
	/* Fewer: who has a client keeps it. */
	s->settings.workers_max = 20;
	s->next = s->now;
	sim_run(s, SEC);
	ck_assert_uint_eq(s->idle, 0);
	ck_assert_uint_eq(s->busy, 30);
	sim_run(s, 2 * MIN);
	ck_assert_uint_le(s->idle, 20);
	s->settings.workers = s->settings.workers_max = 25;
	s->next = s->now;
	sim_run(s, 100 * MSEC);
	ck_assert_uint_eq(s->idle, 25);
}
END_TEST

/* Recycled under load: all that the load needs are there at any moment. */
START_TEST(test_recycle_under_load)
{
	struct sim *s = begin(usual);

	sim_come(s, 40, 500 * MSEC);
	sim_run(s, 100 * MSEC);
	sim_recycle(s);
	for (int i = 0; i < 3000; i++) {
		struct pool_counts c = sim_count(s);

		ck_assert_uint_ge(c.ready + c.old + c.leaving, 42);
		sim_run(s, MSEC);
		if (i == 50)
			sim_come(s, 10, 500 * MSEC);
		if (c.old == 0 && i > 100)
			break;
	}
	ck_assert_uint_eq(sim_count(s).old, 0);
	ck_assert_uint_le(s->longest_wait, 30 * MSEC);
}
END_TEST

static Suite *elastic_suite(void)
{
	Suite *suite = suite_create("pool_elastic");
	TCase *t = tcase_create("elastic");

	tcase_set_timeout(t, 120);
	tcase_add_test(t, test_rests);
	tcase_add_test(t, test_rests_below_spare);
	tcase_add_loop_test(t, test_burst, 0, COUNT(bursts));
	tcase_add_test(t, test_burst_beyond_the_most);
	tcase_add_test(t, test_burst_capped);
	tcase_add_test(t, test_without_spare);
	tcase_add_test(t, test_without_spare_and_fast);
	tcase_add_test(t, test_one_by_one);
	tcase_add_test(t, test_flows);
	tcase_add_test(t, test_flows_in_bursts);
	tcase_add_test(t, test_flows_then_holds);
	tcase_add_test(t, test_short_of_cpu);
	tcase_add_loop_test(t, test_waits_for_others, 0, COUNT(waits));
	tcase_add_loop_test(t, test_waits_for_others_after_all, 0, COUNT(waits));
	tcase_add_test(t, test_trial_without_end);
	tcase_add_test(t, test_sawtooth);
	tcase_add_test(t, test_slow_leak);
	tcase_add_test(t, test_shrinks_by_halves);
	tcase_add_test(t, test_shrinks_not_before);
	tcase_add_test(t, test_shrinks_to_load_and_spare);
	tcase_add_test(t, test_never_shrinks);
	tcase_add_loop_test(t, test_flapping, 0, 5);
	tcase_add_loop_test(t, test_any_load, 0, 20);
	tcase_add_loop_test(t, test_idle_ones_stand_still, 0, 3);
	tcase_add_test(t, test_stalls);
	tcase_add_test(t, test_fork_fails);
	tcase_add_test(t, test_die_at_start);
	tcase_add_test(t, test_die_at_start_without_workers);
	tcase_add_test(t, test_deaths);
	tcase_add_loop_test(t, test_clock_jumps_ahead, 0, COUNT(jumps));
	tcase_add_loop_test(t, test_clock_jumps_back, 0, COUNT(jumps));
	tcase_add_test(t, test_count_wraps);
	tcase_add_test(t, test_nonsense);
	tcase_add_test(t, test_none_until_a_client_comes);
	tcase_add_test(t, test_settings_change);
	tcase_add_test(t, test_recycle_under_load);
	suite_add_tcase(suite, t);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(elastic_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
