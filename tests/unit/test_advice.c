/* SPDX-License-Identifier: ISC */
/* What is advised for a pool, and when the model does not hold. */
#include <config.h>

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "view/advice.h"

/* 200 clients a second of 50 ms: ten erlangs, in ten seconds; 20 workers. */
static struct pool_view before, now;
static struct pool_rates rates;

static void set_up(void)
{
	memset(&before, 0, sizeof(before));
	memset(&now, 0, sizeof(now));
	strcpy(now.address, "tcp://127.0.0.1:7");
	now.values[POOL_workers_max] = 20;
	now.busy = 10;
	before = now;
	rates = (struct pool_rates){.seconds = 10,
				    .accepted = 200,
				    .finished = 200,
				    .ended = 200,
				    .busy = 10,
				    .full_in = INFINITY};
	/* About exponential: its quantiles. */
	for (int i = 0; i < 2000; i++)
		histogram_add(&rates.times, (uint64_t)(-50000 * log((i + 0.5) / 2000)), 1);
}

static struct advice advise(double chance)
{
	return advice_compute(&before, &now, &rates, &(struct advice_meanwhile){.dispersion = 1},
			      chance);
}

START_TEST(ten_erlangs)
{
	struct advice a = advise(0.2);

	ck_assert_double_eq_tol(a.load, 10, 1e-9);
	ck_assert_double_eq_tol(a.time, 0.05, 1e-9);
	ck_assert_double_eq_tol(a.scv, 1, 0.1);
	ck_assert_uint_eq(a.needed, 14);
	ck_assert_uint_eq(a.there, 20);
	ck_assert_double_eq_tol(a.needed_chance, 0.174132, 1e-6);
	ck_assert_uint_eq(a.warnings, 0);
	ck_assert(!advice_is_short(&a));
}
END_TEST

START_TEST(fewer_than_needed)
{
	struct advice a;

	now.values[POOL_workers_max] = before.values[POOL_workers_max] = 13;
	a = advise(0.2);
	ck_assert(advice_is_short(&a));
	ck_assert_double_eq_tol(a.there_chance, 0.285270, 1e-6);
}
END_TEST

static void warns(enum advice_warning warning, double dispersion)
{
	struct advice a = advice_compute(
		&before, &now, &rates, &(struct advice_meanwhile){.dispersion = dispersion}, 0.01);

	ck_assert_msg(a.warnings == 1U << warning, "%#x, not %s", a.warnings,
		      advice_warning_names[warning]);
}

START_TEST(nobody_came)
{
	rates = (struct pool_rates){.seconds = 10};
	now.busy = 0;
	warns(ADVICE_NOTHING, NAN);
}
END_TEST

START_TEST(few_came)
{
	rates.seconds = 0.4;
	warns(ADVICE_FEW, 1);
}
END_TEST

START_TEST(it_was_full)
{
	now.values[POOL_full] = 1;
	warns(ADVICE_SATURATED, 1);
	now.values[POOL_full] = 0;
	now.busy = before.busy = 20;
	warns(ADVICE_SATURATED, 1);
	before.busy = 3;
	ck_assert_uint_eq(advise(0.01).warnings, 0);
	now.queued = 5;
	warns(ADVICE_SATURATED, 1);
	/* They came too. */
	ck_assert_double_eq_tol(advise(0.01).rate, 200.5, 1e-9);
}
END_TEST

START_TEST(it_was_full_meanwhile)
{
	struct advice_meanwhile meanwhile = {.dispersion = 1, .saturated = true};
	struct advice a = advice_compute(&before, &now, &rates, &meanwhile, 0.01);

	ck_assert_uint_eq(a.warnings, 1U << ADVICE_SATURATED);
}
END_TEST

START_TEST(tail_is_heavy)
{
	histogram_add(&rates.times, 10000000, 3);
	warns(ADVICE_HEAVY_TAIL, 1);
}
END_TEST

START_TEST(rate_is_not_steady)
{
	warns(ADVICE_UNSTEADY, 3.5);
}
END_TEST

START_TEST(they_do_not_end)
{
	now.busy = before.busy = 15;
	rates.accepted = rates.finished = rates.ended = 1;
	rates.seconds = 20;
	ck_assert(advice_warns((struct advice[]){advise(0.01)}, ADVICE_LONG));
}
END_TEST

START_TEST(datagrams)
{
	strcpy(now.address, "udp://127.0.0.1:7");
	warns(ADVICE_DATAGRAMS, 1);
}
END_TEST

START_TEST(acceptors_are_not_seen)
{
	struct advice a;

	now.values[POOL_acceptor] = 1;
	warns(ADVICE_UNSEEN, NAN);
	a = advise(0.01);
	ck_assert(!advice_is_short(&a));
}
END_TEST

/* What the configuration takes: workers and spare within workers_max. */
START_TEST(keys_make_sense)
{
	double load = 0.001;

	for (int i = 0; i < 32; i++) {
		struct advice a = advice_of(load, 1, 1, 0.01, 0);
		struct advice_keys keys = advice_keys(&a);

		ck_assert_uint_ge(keys.workers, 1);
		ck_assert_uint_eq(keys.workers_max, a.needed);
		ck_assert_uint_le(keys.workers + keys.spare, keys.workers_max);
		ck_assert(keys.spare > 0 || keys.workers == keys.workers_max);
		load *= 1.7;
	}
}
END_TEST

START_TEST(spread_of_a_histogram)
{
	struct histogram h = {0};

	ck_assert_double_eq(advice_scv(&h), 1);
	histogram_add(&h, 1000, 50);
	ck_assert_double_eq_tol(advice_scv(&h), 0, 1e-9);
	/* Half of them nothing: variance and square of the mean are the same. */
	histogram_add(&h, 0, 50);
	ck_assert_double_eq_tol(advice_scv(&h), 1, 0.01);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("advice");
	TCase *tests = tcase_create("advice");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tests, set_up, NULL);
	tcase_add_test(tests, ten_erlangs);
	tcase_add_test(tests, fewer_than_needed);
	tcase_add_test(tests, nobody_came);
	tcase_add_test(tests, few_came);
	tcase_add_test(tests, it_was_full);
	tcase_add_test(tests, it_was_full_meanwhile);
	tcase_add_test(tests, tail_is_heavy);
	tcase_add_test(tests, rate_is_not_steady);
	tcase_add_test(tests, they_do_not_end);
	tcase_add_test(tests, datagrams);
	tcase_add_test(tests, acceptors_are_not_seen);
	tcase_add_test(tests, keys_make_sense);
	tcase_add_test(tests, spread_of_a_histogram);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
