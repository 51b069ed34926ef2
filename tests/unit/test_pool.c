/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <check.h>
#include <stdlib.h>

#include "master/pool.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(*(array))))
#define MSEC         UINT64_C(1000)
#define SEC          UINT64_C(1000000)

static const struct pool_health healthy;
static const struct pool_history no_history;

/* The same numbers each time: a test that fails fails again. */
static uint32_t next_random(uint32_t *state)
{
	*state = *state * UINT32_C(1664525) + UINT32_C(1013904223);
	return *state >> 8;
}

/* A pool of one size. */
#define SIZE(n, most_starting)                                  \
	{                                                       \
		.workers = (n), .max_starting = (most_starting) \
	}

/* ---- one look ---- */

static const struct {
	struct pool_settings settings;
	struct pool_counts counts; /* ready, starting, old, leaving */
	unsigned start, retire;
} plans[] = {
	{SIZE(4, 8), {0, 0, 0, 0}, 4, 0},
	{SIZE(4, 8), {4, 0, 0, 0}, 0, 0},
	{SIZE(4, 8), {3, 0, 0, 0}, 1, 0},
	{SIZE(4, 8), {3, 1, 0, 0}, 0, 0},
	/* who was told to leave serves its last client: no longer one of them */
	{SIZE(4, 8), {4, 0, 0, 4}, 0, 0},
	{SIZE(4, 8), {0, 0, 0, 4}, 4, 0},
	{SIZE(1, 1), {0, 0, 0, 0}, 1, 0},
	{SIZE(1, 1), {0, 1, 0, 0}, 0, 0},
	/* so many at a time */
	{SIZE(100, 4), {0, 0, 0, 0}, 4, 0},
	{SIZE(100, 4), {0, 4, 0, 0}, 0, 0},
	{SIZE(100, 4), {96, 0, 0, 0}, 4, 0},
	{SIZE(100, 4), {98, 0, 0, 0}, 2, 0},
	/* recycling: a new one before an old one leaves */
	{SIZE(4, 8), {0, 0, 4, 0}, 1, 0},
	{SIZE(4, 8), {0, 1, 4, 0}, 0, 0},
	{SIZE(4, 8), {1, 0, 4, 0}, 1, 1},
	{SIZE(4, 8), {1, 0, 3, 1}, 1, 0},
	{SIZE(4, 8), {4, 0, 1, 3}, 0, 1},
	{SIZE(4, 8), {3, 1, 1, 3}, 0, 0},
	{SIZE(16, 8), {0, 0, 16, 0}, 4, 0},
	{SIZE(16, 2), {0, 0, 16, 0}, 2, 0},
	{SIZE(1, 4), {0, 0, 1, 0}, 1, 0},
	{SIZE(1, 4), {1, 0, 1, 0}, 0, 1},
	/* an old one died meanwhile: no leave for that */
	{SIZE(4, 8), {1, 0, 2, 1}, 1, 0},
	{SIZE(4, 8), {0, 0, 2, 0}, 2, 0},
};

START_TEST(test_plan)
{
	struct pool_plan plan = pool_plan(&plans[_i].settings, &plans[_i].counts, NULL, &no_history,
					  &healthy, 5 * SEC);

	ck_assert_uint_eq(plan.start, plans[_i].start);
	ck_assert_uint_eq(plan.retire, plans[_i].retire);
	ck_assert_uint_eq(plan.shrink, 0);
	ck_assert_uint_eq(plan.history.size, plans[_i].settings.workers);
	ck_assert(!plan.watch);
	ck_assert(plan.next_usec == POOL_NEVER);
}
END_TEST

/* ---- many looks ---- */

struct pool {
	struct pool_settings settings;
	struct pool_counts c;
	struct pool_health health;
	uint64_t now;
	uint32_t random;
	unsigned started;
};

static const struct pool_settings sizes[] = {
	SIZE(1, 4), SIZE(2, 4),   SIZE(3, 4),  SIZE(4, 4),   SIZE(5, 4),
	SIZE(8, 4), SIZE(16, 64), SIZE(64, 8), SIZE(100, 1), SIZE(1000, 64),
};

static bool chance(struct pool *p, unsigned percent)
{
	return next_random(&p->random) % 100 < percent;
}

/* ck_assert() writes a file for each success: too slow for so many. */
#define REQUIRE(ok)                              \
	do {                                     \
		if (!(ok))                       \
			ck_abort_msg("%s", #ok); \
	} while (0)

/* Looks, does what the plan says, and holds it to what it may say. */
static void look(struct pool *p)
{
	struct pool_plan plan =
		pool_plan(&p->settings, &p->c, NULL, &no_history, &p->health, p->now);

	REQUIRE(plan.retire <= p->c.old);
	REQUIRE(plan.start == 0 || p->now >= p->health.retry);
	p->c.old -= plan.retire;
	p->c.leaving += plan.retire;
	p->c.starting += plan.start;
	p->started += plan.start;
	REQUIRE(p->c.starting <= p->settings.max_starting);
	REQUIRE(p->c.ready + p->c.starting <= p->settings.workers);
	REQUIRE(!plan.retire || p->c.ready + p->c.old >= p->settings.workers);
	REQUIRE(plan.next_usec > p->now);
}

/* Some of those that start become ready, some of those that leave have left. */
static void pass_time(struct pool *p)
{
	for (unsigned i = p->c.starting; i > 0; i--)
		if (chance(p, 40)) {
			p->c.starting--;
			p->c.ready++;
		}
	for (unsigned i = p->c.leaving; i > 0; i--)
		if (chance(p, 20))
			p->c.leaving--;
	p->now += 10 * MSEC;
}

/* As crew_recycle(). */
static void recycle(struct pool *p)
{
	p->c.old += p->c.ready + p->c.starting;
	p->c.ready = p->c.starting = 0;
}

static bool is_done(const struct pool *p)
{
	return p->c.ready == p->settings.workers && p->c.starting == 0 && p->c.old == 0;
}

static void fill(struct pool *p)
{
	for (int i = 0; i < 10000 && !is_done(p); i++) {
		look(p);
		pass_time(p);
	}
	ck_assert(is_done(p));
}

static struct pool pool_of(const struct pool_settings *settings, uint32_t seed)
{
	return (struct pool){.settings = *settings, .now = SEC, .random = seed};
}

START_TEST(test_fills_to_what_is_wanted)
{
	struct pool p = pool_of(&sizes[_i], 1);

	fill(&p);
	ck_assert_uint_eq(p.started, p.settings.workers);
	look(&p);
	ck_assert_uint_eq(p.started, p.settings.workers);
}
END_TEST

START_TEST(test_recycle_never_serves_with_less)
{
	for (uint32_t seed = 0; seed < 50; seed++) {
		struct pool p = pool_of(&sizes[_i], seed);
		int looks = 0;

		fill(&p);
		recycle(&p);
		while (!is_done(&p)) {
			look(&p);
			REQUIRE(p.c.ready + p.c.old >= p.settings.workers);
			pass_time(&p);
			REQUIRE(looks++ < 10000);
		}
		ck_assert_uint_eq(p.started, 2 * p.settings.workers);
	}
}
END_TEST

START_TEST(test_recycle_in_turn)
{
	struct pool p = pool_of(&sizes[_i], 1);
	unsigned most = 0, quarter = (p.settings.workers + 3) / 4;

	fill(&p);
	recycle(&p);
	while (!is_done(&p)) {
		look(&p);
		if (p.c.ready + p.c.starting + p.c.old > most)
			most = p.c.ready + p.c.starting + p.c.old;
		pass_time(&p);
	}
	/* Never the whole pool twice. */
	ck_assert_uint_gt(most, p.settings.workers);
	ck_assert_uint_le(most, p.settings.workers + quarter);
}
END_TEST

/* Recycles at any moment, workers that die at any moment: in the end all are new and enough. */
START_TEST(test_comes_to_rest)
{
	for (uint32_t seed = 0; seed < 50; seed++) {
		struct pool p = pool_of(&sizes[_i], seed);

		for (int i = 0; i < 300; i++) {
			unsigned *kinds[] = {&p.c.ready, &p.c.starting, &p.c.old, &p.c.leaving};
			unsigned *kind = kinds[next_random(&p.random) % 4];

			look(&p);
			pass_time(&p);
			if (chance(&p, 30) && *kind > 0)
				--*kind;
			if (chance(&p, 5))
				recycle(&p);
		}
		fill(&p);
		recycle(&p);
		fill(&p);
	}
}
END_TEST

/* Workers that die at once: old ones are not told to leave for them. */
START_TEST(test_recycle_with_workers_that_die)
{
	struct pool p = pool_of(&sizes[_i], 1);
	unsigned tries = 0;

	fill(&p);
	recycle(&p);
	for (int i = 0; i < 1000; i++) {
		look(&p);
		tries += p.c.starting;
		for (; p.c.starting > 0; p.c.starting--)
			pool_failed(&p.health, p.now, next_random(&p.random));
		ck_assert_uint_eq(p.c.old, p.settings.workers);
		p.now += 100 * MSEC;
	}
	/* 100 s: nine pauses up to 30 s, a few of 30 s; at first a quarter of the pool at once. */
	ck_assert_uint_le(tries, 20 + (p.settings.workers + 3) / 4);
	ck_assert_uint_ge(tries, 5);
	pool_succeeded(&p.health);
	fill(&p);
}
END_TEST

static Suite *pool_suite(void)
{
	Suite *suite = suite_create("pool");
	TCase *plan = tcase_create("plan");

	tcase_set_timeout(plan, 60);
	tcase_add_loop_test(plan, test_plan, 0, COUNT(plans));
	tcase_add_loop_test(plan, test_fills_to_what_is_wanted, 0, COUNT(sizes));
	tcase_add_loop_test(plan, test_recycle_never_serves_with_less, 0, COUNT(sizes));
	tcase_add_loop_test(plan, test_recycle_in_turn, 0, COUNT(sizes));
	tcase_add_loop_test(plan, test_comes_to_rest, 0, COUNT(sizes));
	tcase_add_loop_test(plan, test_recycle_with_workers_that_die, 0, COUNT(sizes));
	suite_add_tcase(suite, plan);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(pool_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
