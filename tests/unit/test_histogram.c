/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "base/histogram.h"

/* Every value up to some, then around every edge. */
static void check_value(uint64_t value)
{
	unsigned bucket = histogram_bucket(value);
	double shown = (double)histogram_value(bucket);

	ck_assert_uint_lt(bucket, HISTOGRAM_BUCKETS);
	ck_assert_uint_le(histogram_low(bucket), value);
	ck_assert_uint_gt(histogram_low(bucket + 1), value);
	ck_assert_double_le(fabs(shown - (double)value), 0.06 * (double)value);
}

START_TEST(test_within_6_percent)
{
	for (uint64_t value = 0; value < 100000; value++)
		check_value(value);
	for (unsigned bucket = 1; bucket < HISTOGRAM_BUCKETS; bucket++) {
		uint64_t low = histogram_low(bucket);

		ck_assert_uint_eq(histogram_bucket(low), bucket);
		ck_assert_uint_eq(histogram_bucket(low - 1), bucket - 1);
		check_value(low);
		check_value(low - 1);
	}
	check_value((UINT64_C(1) << HISTOGRAM_BITS) - 1);
}
END_TEST

START_TEST(test_small_values_are_exact)
{
	for (uint64_t value = 0; value < HISTOGRAM_STEPS; value++)
		ck_assert_uint_eq(histogram_value(histogram_bucket(value)), value);
}
END_TEST

START_TEST(test_too_large_values)
{
	ck_assert_uint_eq(histogram_bucket(UINT64_C(1) << HISTOGRAM_BITS), HISTOGRAM_BUCKETS - 1);
	ck_assert_uint_eq(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}
END_TEST

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Against the sorted values themselves. */
START_TEST(test_quantiles)
{
	enum { COUNT = 9999 };
	static const double shares[] = {0, 0.001, 0.5, 0.9, 0.99, 0.999, 1};
	static struct histogram h;
	static uint64_t values[COUNT];
	double sum = 0;

	srand48(7);
	for (int i = 0; i < COUNT; i++) {
		values[i] = (uint64_t)exp(drand48() * 20);
		histogram_add(&h, values[i], 1);
		sum += (double)values[i];
	}
	qsort(values, COUNT, sizeof(*values), compare);
	ck_assert_uint_eq(histogram_count(&h), COUNT);
	ck_assert_double_eq((double)h.sum, sum);
	ck_assert_uint_eq(histogram_mean(&h), (uint64_t)(sum / COUNT));
	for (size_t i = 0; i < sizeof(shares) / sizeof(*shares); i++) {
		double rank = ceil(shares[i] * COUNT);
		double exact = (double)values[rank < 1 ? 0 : (int)rank - 1];
		double shown = (double)histogram_quantile(&h, shares[i]);

		ck_assert_msg(fabs(shown - exact) <= 0.06 * exact, "%g: %g, not %g", shares[i],
			      shown, exact);
	}
}
END_TEST

START_TEST(test_empty)
{
	static const struct histogram none;

	ck_assert_uint_eq(histogram_count(&none), 0);
	ck_assert_uint_eq(histogram_quantile(&none, 0.5), 0);
	ck_assert_uint_eq(histogram_mean(&none), 0);
}
END_TEST

START_TEST(test_merge_and_subtract)
{
	static struct histogram a, b, both;

	histogram_add(&a, 100, 3);
	histogram_add(&b, 100, 1);
	histogram_add(&b, 5000, 2);
	histogram_merge(&both, &a);
	histogram_merge(&both, &b);
	ck_assert_uint_eq(histogram_count(&both), 6);
	ck_assert_uint_eq(both.sum, 10400);
	histogram_subtract(&both, &b);
	ck_assert_mem_eq(&both, &a, sizeof(a));
	/* Less than nothing is nothing. */
	histogram_subtract(&a, &b);
	ck_assert_uint_eq(histogram_count(&a), 2);
	ck_assert_uint_eq(a.sum, 0);
}
END_TEST

static Suite *histogram_suite(void)
{
	Suite *suite = suite_create("histogram");
	TCase *tcase = tcase_create("histogram");

	tcase_add_test(tcase, test_within_6_percent);
	tcase_add_test(tcase, test_small_values_are_exact);
	tcase_add_test(tcase, test_too_large_values);
	tcase_add_test(tcase, test_quantiles);
	tcase_add_test(tcase, test_empty);
	tcase_add_test(tcase, test_merge_and_subtract);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(histogram_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
