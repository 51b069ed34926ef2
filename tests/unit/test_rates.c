/* SPDX-License-Identifier: ISC */
/* Two looks at a board, and what they tell. */
#include <config.h>

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "view/rates.h"

#define SECOND UINT64_C(1000000)

/* before and now, 2 s later, with two pools each that have not changed. */
static struct pool_view old_pools[2], new_pools[2];
static struct snapshot before, now;
static struct pool_rates rates[2];

static struct pool_view pool_of(const char *address)
{
	struct pool_view pool = {.busy = 2, .idle = 6};

	snprintf(pool.service, sizeof(pool.service), "a");
	snprintf(pool.address, sizeof(pool.address), "%s", address);
	pool.values[POOL_workers_max] = 10;
	pool.connections[CONN_accepted] = 1000;
	pool.connections[CONN_finished] = 990;
	pool.connections[CONN_refused_access] = 5;
	pool.connections[CONN_timed_out] = 3;
	pool.connections[CONN_busy_usec] = 50 * SECOND;
	histogram_add(&pool.times, 100, 990);
	return pool;
}

static void set_up(void)
{
	before = (struct snapshot){.pools = old_pools,
				   .pool_count = 2,
				   .monotonic_usec = 100 * SECOND,
				   .instance = {.pid = 7, .started_usec = 1}};
	now = before;
	now.pools = new_pools;
	now.monotonic_usec = 102 * SECOND;
	old_pools[0] = new_pools[0] = pool_of("tcp://1");
	old_pools[1] = new_pools[1] = pool_of("tcp://2");
}

static void compute(void)
{
	memset(rates, 0x7f, sizeof(rates));
	rates_compute(&before, &now, rates);
}

static void assert_nothing(const struct pool_rates *r)
{
	static const struct histogram none;

	ck_assert_double_eq(r->seconds, 0);
	ck_assert_double_eq(r->accepted, 0);
	ck_assert_double_eq(r->ended, 0);
	ck_assert_double_eq(r->busy, 0);
	ck_assert(isinf(r->full_in));
	ck_assert_mem_eq(&r->times, &none, sizeof(none));
}

START_TEST(test_rates)
{
	new_pools[0].connections[CONN_accepted] += 100;
	new_pools[0].connections[CONN_finished] += 80;
	new_pools[0].connections[CONN_refused_rate] += 6;
	new_pools[0].connections[CONN_refused_queue] += 4;
	new_pools[0].connections[CONN_timed_out] += 2;
	new_pools[0].connections[CONN_aborted_error] += 4;
	new_pools[0].connections[CONN_busy_usec] += 3 * SECOND;
	histogram_add(&new_pools[0].times, 5000, 86);
	histogram_add(&new_pools[0].waits, 1000, 5);
	compute();
	ck_assert_double_eq(rates[0].seconds, 2);
	ck_assert_double_eq(rates[0].accepted, 50);
	ck_assert_double_eq(rates[0].finished, 40);
	ck_assert_double_eq(rates[0].refused, 5);
	ck_assert_double_eq(rates[0].aborted, 3);
	ck_assert_double_eq(rates[0].ended, 48);
	ck_assert_double_eq(rates[0].busy, 1.5);
	ck_assert_uint_eq(histogram_count(&rates[0].times), 86);
	ck_assert_uint_eq(histogram_count(&rates[0].waits), 5);
	ck_assert_uint_eq(histogram_bucket(histogram_quantile(&rates[0].times, 0.5)),
			  histogram_bucket(5000));
	/* The other one is left alone. */
	ck_assert_double_eq(rates[1].accepted, 0);
	ck_assert_double_eq(rates[1].seconds, 2);
}
END_TEST

START_TEST(test_time_to_saturation)
{
	compute();
	ck_assert(isinf(rates[0].full_in));
	/* From 2 to 5 of 10 in 2 s. */
	new_pools[0].busy = 5;
	compute();
	ck_assert_double_eq_tol(rates[0].full_in, 5 / 1.5, 1e-9);
	new_pools[0].busy = 1;
	compute();
	ck_assert(isinf(rates[0].full_in) && rates[0].full_in > 0);
	new_pools[0].busy = 10;
	compute();
	ck_assert_double_eq(rates[0].full_in, 0);
	/* A pool that shrinks: those that leave serve on. */
	new_pools[0].busy = 12;
	compute();
	ck_assert_double_eq(rates[0].full_in, 0);
}
END_TEST

START_TEST(test_pools_come_and_go)
{
	snprintf(new_pools[0].address, sizeof(new_pools[0].address), "tcp://3");
	new_pools[1].connections[CONN_accepted] += 10;
	compute();
	assert_nothing(&rates[0]);
	ck_assert_double_eq(rates[1].accepted, 5);
	/* In another order; then fewer than before, then none of before. */
	new_pools[0] = new_pools[1];
	now.pool_count = 1;
	compute();
	ck_assert_double_eq(rates[0].accepted, 5);
	before.pool_count = 0;
	compute();
	assert_nothing(&rates[0]);
	now.pool_count = 0;
	compute();
}
END_TEST

START_TEST(test_another_master)
{
	new_pools[0].connections[CONN_accepted] += 10;
	now.instance.pid = 8;
	compute();
	assert_nothing(&rates[0]);
	/* A pid that came round. */
	now.instance.pid = 7;
	now.instance.started_usec = 2;
	compute();
	assert_nothing(&rates[0]);
}
END_TEST

/* Removed and added again in between, or numbers that a writer had not finished. */
START_TEST(test_counters_that_went_back)
{
	for (int f = 0; f < CONNECTION_FIELDS; f++) {
		new_pools[0] = pool_of("tcp://1");
		old_pools[0] = pool_of("tcp://1");
		old_pools[0].connections[f]++;
		new_pools[0].torn = true;
		compute();
		assert_nothing(&rates[0]);
	}
}
END_TEST

START_TEST(test_looks_at_the_same_time)
{
	now.monotonic_usec = before.monotonic_usec;
	new_pools[0].connections[CONN_accepted] += 10;
	compute();
	assert_nothing(&rates[0]);
	now.monotonic_usec--;
	compute();
	assert_nothing(&rates[0]);
}
END_TEST

START_TEST(test_nothing_is_known_of_an_acceptor)
{
	new_pools[0].values[POOL_acceptor] = old_pools[0].values[POOL_acceptor] = 1;
	new_pools[0].connections[CONN_accepted] += 10;
	compute();
	assert_nothing(&rates[0]);
}
END_TEST

static Suite *rates_suite(void)
{
	Suite *suite = suite_create("rates");
	TCase *tcase = tcase_create("rates");

	tcase_add_checked_fixture(tcase, set_up, NULL);
	tcase_add_test(tcase, test_rates);
	tcase_add_test(tcase, test_time_to_saturation);
	tcase_add_test(tcase, test_pools_come_and_go);
	tcase_add_test(tcase, test_another_master);
	tcase_add_test(tcase, test_counters_that_went_back);
	tcase_add_test(tcase, test_looks_at_the_same_time);
	tcase_add_test(tcase, test_nothing_is_known_of_an_acceptor);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(rates_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
