/* SPDX-License-Identifier: ISC */
/* The pauses of a pool whose workers die, and the jitter of those that leave by themselves. */
#include <config.h>

#include <check.h>
#include <stdlib.h>

#include "master/pool.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(*(array))))
#define MSEC         UINT64_C(1000)
#define SEC          UINT64_C(1000000)

static const struct pool_history no_history;

static uint64_t pause_of(unsigned failures)
{
	uint64_t pause = 100 * MSEC;

	while (failures-- > 1)
		pause = pause * 2 < 30 * SEC ? pause * 2 : 30 * SEC;
	return pause;
}

static void check_pauses(uint32_t random)
{
	struct pool_health health = {0};
	uint64_t now = 77 * SEC;

	for (unsigned i = 1; i < 100; i++) {
		uint64_t pause;

		pool_failed(&health, now, random);
		pause = health.retry - now;
		ck_assert_uint_eq(health.failures, i);
		ck_assert_uint_eq(health.last_failure, now);
		ck_assert_uint_le(pause, pause_of(i));
		ck_assert_uint_gt(pause, pause_of(i) / 4 * 3);
		now = health.retry;
	}
}

START_TEST(test_pauses_double)
{
	for (uint32_t random = 0; random < 1100; random++)
		check_pauses(random);
	check_pauses(UINT32_MAX);
}
END_TEST

START_TEST(test_pause_without_jitter)
{
	static const unsigned msec[] = {100,  200,   400,   800,   1600, 3200,
					6400, 12800, 25600, 30000, 30000};
	struct pool_health health = {0};

	for (int i = 0; i < COUNT(msec); i++) {
		pool_failed(&health, 1, 0);
		ck_assert_uint_eq(health.retry, 1 + msec[i] * MSEC);
	}
}
END_TEST

START_TEST(test_jitter_differs)
{
	struct pool_health one = {0}, two = {0};

	pool_failed(&one, SEC, 0);
	pool_failed(&two, SEC, 1023);
	ck_assert_uint_gt(one.retry, two.retry + 20 * MSEC);
}
END_TEST

START_TEST(test_old_failures_are_forgotten)
{
	struct pool_health health = {0};

	for (int i = 0; i < 20; i++)
		pool_failed(&health, SEC, 0);
	ck_assert_uint_eq(health.retry, SEC + 30 * SEC);
	/* As long as the pause may be, twice: that is no new trouble. */
	pool_failed(&health, 61 * SEC, 0);
	ck_assert_uint_eq(health.retry, 91 * SEC);
	pool_failed(&health, 121 * SEC + 1, 0);
	ck_assert_uint_eq(health.failures, 1);
	ck_assert_uint_eq(health.retry, 121 * SEC + 1 + 100 * MSEC);
}
END_TEST

START_TEST(test_nothing_starts_before_its_time)
{
	const struct pool_settings settings = {.workers = 4, .max_starting = 8};
	const struct pool_counts none = {0};
	struct pool_health health = {0};
	struct pool_plan plan;

	pool_failed(&health, SEC, 0);
	plan = pool_plan(&settings, &none, NULL, &no_history, &health, SEC);
	ck_assert_uint_eq(plan.start, 0);
	ck_assert_uint_eq(plan.next_usec, SEC + 100 * MSEC);
	plan = pool_plan(&settings, &none, NULL, &no_history, &health, SEC + 100 * MSEC - 1);
	ck_assert_uint_eq(plan.start, 0);
	ck_assert_uint_eq(plan.next_usec, SEC + 100 * MSEC);
	/* Then with one, as long as it is not known to be well. */
	plan = pool_plan(&settings, &none, NULL, &no_history, &health, SEC + 100 * MSEC);
	ck_assert_uint_eq(plan.start, 1);
	ck_assert(plan.next_usec == POOL_NEVER);
	plan = pool_plan(&settings, &(struct pool_counts){.starting = 1}, NULL, &no_history,
			 &health, 2 * SEC);
	ck_assert_uint_eq(plan.start, 0);
	plan = pool_plan(&settings, &(struct pool_counts){.ready = 1}, NULL, &no_history, &health,
			 2 * SEC);
	ck_assert_uint_eq(plan.start, 1);
}
END_TEST

START_TEST(test_a_full_pool_waits_for_nothing)
{
	const struct pool_settings settings = {.workers = 4, .max_starting = 8};
	struct pool_health health = {0};
	struct pool_plan plan;

	pool_failed(&health, SEC, 0);
	plan = pool_plan(&settings, &(struct pool_counts){.ready = 4}, NULL, &no_history, &health,
			 SEC);
	ck_assert_uint_eq(plan.start, 0);
	ck_assert(plan.next_usec == POOL_NEVER);
	/* Old ones may leave during a pause when they are too many. */
	plan = pool_plan(&settings, &(struct pool_counts){.ready = 2, .old = 3}, NULL, &no_history,
			 &health, SEC);
	ck_assert_uint_eq(plan.start, 0);
	ck_assert_uint_eq(plan.retire, 1);
	ck_assert_uint_eq(plan.next_usec, health.retry);
}
END_TEST

START_TEST(test_recovery)
{
	const struct pool_settings settings = {.workers = 4, .max_starting = 8};
	const struct pool_counts none = {0};
	struct pool_health health = {0};

	for (int i = 0; i < 5; i++)
		pool_failed(&health, SEC, 0);
	pool_succeeded(&health);
	ck_assert_uint_eq(pool_plan(&settings, &none, NULL, &no_history, &health, SEC).start, 4);
	pool_failed(&health, SEC, 0);
	ck_assert_uint_eq(health.retry, SEC + 100 * MSEC);
}
END_TEST

/* The same numbers each time: a test that fails fails again. */
static uint32_t next_random(uint32_t *state)
{
	*state = *state * UINT32_C(1664525) + UINT32_C(1013904223);
	return *state >> 8;
}

/* ---- recycle_after ---- */

static const struct {
	uint64_t after, least, most;
} jitters[] = {
	{0, 0, 0},    {1, 1, 1},      {9, 9, 9},         {10, 9, 11},
	{19, 18, 20}, {100, 90, 110}, {1000, 900, 1100}, {123456, 111111, 135801},
};

START_TEST(test_recycle_jitter)
{
	uint64_t least = UINT64_MAX, most = 0;
	uint32_t random = 1;

	for (int i = 0; i < 1000000; i++) {
		uint64_t after = pool_recycle_after(jitters[_i].after, next_random(&random));

		least = after < least ? after : least;
		most = after > most ? after : most;
	}
	ck_assert_uint_eq(least, jitters[_i].least);
	ck_assert_uint_eq(most, jitters[_i].most);
}
END_TEST

START_TEST(test_recycle_jitter_of_large_numbers)
{
	for (uint32_t random = 0; random < 100; random++) {
		uint64_t after = pool_recycle_after(INT64_MAX, random * UINT32_C(42949672));

		ck_assert_uint_ge(after, INT64_MAX / 10 * 9);
		ck_assert_uint_le(after, (uint64_t)INT64_MAX / 10 * 11);
	}
}
END_TEST

static Suite *pool_health_suite(void)
{
	Suite *suite = suite_create("pool_health");
	TCase *health = tcase_create("health"), *jitter = tcase_create("jitter");

	tcase_set_timeout(health, 60);
	tcase_add_test(health, test_pauses_double);
	tcase_add_test(health, test_pause_without_jitter);
	tcase_add_test(health, test_jitter_differs);
	tcase_add_test(health, test_old_failures_are_forgotten);
	tcase_add_test(health, test_nothing_starts_before_its_time);
	tcase_add_test(health, test_a_full_pool_waits_for_nothing);
	tcase_add_test(health, test_recovery);
	tcase_add_loop_test(jitter, test_recycle_jitter, 0, COUNT(jitters));
	tcase_add_test(jitter, test_recycle_jitter_of_large_numbers);
	suite_add_tcase(suite, health);
	suite_add_tcase(suite, jitter);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(pool_health_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
