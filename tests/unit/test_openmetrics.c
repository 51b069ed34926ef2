/* SPDX-License-Identifier: ISC */
#include <config.h>

#include "base/histogram.h"
#include "test_view.h"
#include "view/openmetrics.h"

#define SERVICE "service=\"a\\\"b\\\\c\\\\nd<script>&'\\\\xff\",address=\"tcp://127.0.0.1:7\""

static char *metrics(bool open)
{
	struct error err;
	char *text;

	WRITTEN(text, out,
		ck_assert_int_eq((open ? view_openmetrics : view_prometheus)(&view, out, &err), 0));
	return text;
}

START_TEST(openmetrics_names_types_and_ends)
{
	char *text = metrics(true);

	has(text, "# TYPE preforkd_pool_accepted counter\n# HELP preforkd_pool_accepted ");
	has(text, "\npreforkd_pool_accepted_total{" SERVICE "} 1234567\n");
	has(text, "# TYPE preforkd_pool_busy_seconds counter\n"
		  "# UNIT preforkd_pool_busy_seconds seconds\n");
	has(text, "\npreforkd_pool_busy_seconds_total{" SERVICE "} 2.500001\n");
	has(text, "# TYPE preforkd_instance_state stateset\n");
	has(text, "\npreforkd_instance_state{preforkd_instance_state=\"running\"} 1\n");
	has(text, "\npreforkd_instance_info{name=\"main\",version=\"1.2\"} 1\n");
	has(text, "\npreforkd_instance_start_time_seconds 1699999995.000000\n");
	ck_assert_str_eq(text + strlen(text) - 6, "# EOF\n");
	ck_assert_ptr_eq(strstr(text, "# EOF"), text + strlen(text) - 6);
	free(text);
}
END_TEST

START_TEST(prometheus_text_is_the_older_one)
{
	char *text = metrics(false);

	has(text, "# TYPE preforkd_pool_accepted_total counter\n");
	has(text, "# TYPE preforkd_instance_info gauge\n");
	has_not(text, "# EOF");
	has_not(text, "# UNIT");
	has_not(text, "stateset");
	free(text);
}
END_TEST

START_TEST(what_is_not_known_is_left_out)
{
	char *text = metrics(true);

	has_not(text, "preforkd_pool_accepted_total{service=\"web\"");
	has_not(text, "preforkd_pool_workers_busy{service=\"web\"");
	has_not(text, "preforkd_pool_connection_seconds_count{service=\"web\"");
	has_not(text, "preforkd_pool_queued{" SERVICE);
	has_not(text, "preforkd_pool_queue_wait_seconds_count");
	has_not(text, "18446744073709551615");
	has(text, "\npreforkd_pool_queued{service=\"web\",address=\"tcp://127.0.0.1:80\"} 3\n");
	free(text);
}
END_TEST

/* The numbers of the buckets of pool 0, in their order. */
static size_t buckets(const char *text, double *le, unsigned long long *counts, size_t room)
{
	static const char start[] = "preforkd_pool_connection_seconds_bucket{";
	size_t n = 0;

	for (const char *p = strstr(text, start); p; p = strstr(p + 1, start)) {
		const char *bound = strstr(p, "le=\"");

		ck_assert_uint_lt(n, room);
		le[n] = strncmp(bound + 4, "+Inf", 4) == 0 ? 1e99 : strtod(bound + 4, NULL);
		counts[n++] = strtoull(strchr(bound, '}') + 1, NULL, 10);
	}
	return n;
}

START_TEST(buckets_rise_and_hold_all)
{
	static const uint64_t values[] = {0,    1,    40,    41,         999,
					  1000, 1001, 70000, 3599999999, 1ULL << 39};
	unsigned long long counts[64];
	double le[64];
	char *text;
	size_t n;

	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++)
		histogram_add(&view_pools[0].times, values[i], i + 1);
	text = metrics(true);
	n = buckets(text, le, counts, 64);
	ck_assert_uint_gt(n, 10);
	for (size_t i = 1; i < n; i++) {
		ck_assert(le[i] > le[i - 1]);
		ck_assert_uint_ge(counts[i], counts[i - 1]);
	}
	ck_assert(le[n - 1] > 1e98);
	ck_assert_uint_eq(counts[n - 1], 55);
	ck_assert_uint_lt(counts[n - 2], 55);
	ck_assert_uint_gt(counts[0], 0);
	has(text, "\npreforkd_pool_connection_seconds_count{" SERVICE "} 55\n");
	free(text);
}
END_TEST

/* Two families of one name would be an error for whoever reads them. */
START_TEST(families_are_declared_once)
{
	static char seen[512][128];
	char *text = metrics(true), *rest = text, *line;
	size_t n = 0;

	while ((line = strsep(&rest, "\n"))) {
		char name[128];

		if (sscanf(line, "# TYPE %127s", name) != 1)
			continue;
		for (size_t i = 0; i < n; i++)
			ck_assert_str_ne(seen[i], name);
		ck_assert_uint_lt(n, 512);
		memcpy(seen[n++], name, sizeof(name));
	}
	ck_assert_uint_gt(n, CONNECTION_FIELDS + POOL_FIELDS + INSTANCE_FIELDS);
	free(text);
}
END_TEST

START_TEST(failure_to_write_is_told)
{
	FILE *full = fopen("/dev/full", "w");
	struct error err = {0};

	ck_assert_ptr_nonnull(full);
	ck_assert_int_eq(view_openmetrics(&view, full, &err), -1);
	has(err.text, "metrics could not be written: No space left on device");
	fclose(full);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("openmetrics");
	TCase *tests = tcase_create("openmetrics");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tests, make_view, NULL);
	tcase_add_test(tests, openmetrics_names_types_and_ends);
	tcase_add_test(tests, prometheus_text_is_the_older_one);
	tcase_add_test(tests, what_is_not_known_is_left_out);
	tcase_add_test(tests, buckets_rise_and_hold_all);
	tcase_add_test(tests, families_are_declared_once);
	tcase_add_test(tests, failure_to_write_is_told);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
