/* SPDX-License-Identifier: ISC */
/* bench: the schedule, the options, the figures of the report. */
#include <config.h>

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "ctl/bench.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(*(array))))
#define ADDRESS      "tcp://127.0.0.1:7"

/* ---- the schedule ---- */

START_TEST(schedule_is_kept)
{
	struct rate rate = {3, USEC_PER_SEC};

	ck_assert_uint_eq(bench_due(rate, 1000, 0), 1000);
	ck_assert_uint_eq(bench_due(rate, 1000, 1), 1000 + 333333333);
	/* Nothing adds up over the years. */
	ck_assert_uint_eq(bench_due(rate, 0, UINT64_C(3) * 100000000),
			  UINT64_C(100000000) * NSEC_PER_SEC);
	ck_assert_uint_eq(
		bench_due((struct rate){10000000, USEC_PER_SEC}, 0, UINT64_C(864000000000)),
		86400 * NSEC_PER_SEC);
}
END_TEST

START_TEST(schedule_counts_what_is_due)
{
	struct rate rate = {100, USEC_PER_SEC};

	ck_assert_uint_eq(bench_due_before(rate, 50, 50), 0);
	ck_assert_uint_eq(bench_due_before(rate, 50, 40), 0);
	ck_assert_uint_eq(bench_due_before(rate, 0, 1), 1);
	ck_assert_uint_eq(bench_due_before(rate, 0, NSEC_PER_SEC), 100);
	ck_assert_uint_eq(bench_due_before(rate, 0, NSEC_PER_SEC + 1), 101);
	for (uint64_t k = 1; k < 50; k++) {
		uint64_t due = bench_due((struct rate){7, USEC_PER_SEC}, 99, k);

		ck_assert_uint_eq(bench_due_before((struct rate){7, USEC_PER_SEC}, 99, due + 1),
				  k + 1);
	}
}
END_TEST

/* ---- figures ---- */

START_TEST(times_of_all_processes)
{
	struct bench_times *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));

	ck_assert_ptr_nonnull(a);
	ck_assert_ptr_nonnull(b);
	ck_assert_double_eq(bench_times_mean(a), 0);
	for (unsigned i = 0; i < 99; i++)
		bench_times_add(a, 1000000);
	bench_times_add(b, 5000001);
	bench_times_merge(a, b);
	ck_assert_uint_eq(a->max, 5000001);
	ck_assert_double_eq_tol(bench_times_quantile(a, 0.5), 1000, 65);
	ck_assert_double_eq_tol(bench_times_mean(a), 1040, 0.1);
	ck_assert_double_eq_tol(bench_times_quantile(a, 1), 5000, 320);
	/* Never more than there was. */
	ck_assert_double_le(bench_times_quantile(a, 1), 5000.001);
	free(a);
	free(b);
}
END_TEST

static const struct {
	double value;
	const char *time, *amount;
} figures[] = {
	{0, "0.00us", "0"},          {0.5, "0.50us", "0.50"},    {7, "7.00us", "7"},
	{9.996, "10.0us", "10.0"},   {12.34, "12.3us", "12.3"},  {99.96, "100us", "100"},
	{999, "999us", "999"},       {999.7, "1.00ms", "1000"},  {1234, "1.23ms", "1234"},
	{45678, "45.7ms", "45678"},  {999700, "1.00s", "1.00M"}, {12345678, "12.3s", "12.3M"},
	{4.2e10, "42000s", "42.0G"},
};

START_TEST(figures_for_people)
{
	char text[BENCH_TIME_MAX];

	ck_assert_str_eq(bench_time(text, figures[_i].value), figures[_i].time);
	ck_assert_str_eq(bench_amount(text, figures[_i].value), figures[_i].amount);
}
END_TEST

START_TEST(failures_by_kind)
{
	ck_assert_int_eq(bench_failure_of(ECONNREFUSED), BENCH_REFUSED);
	ck_assert_int_eq(bench_failure_of(ENOENT), BENCH_REFUSED);
	ck_assert_int_eq(bench_failure_of(EPIPE), BENCH_RESET);
	ck_assert_int_eq(bench_failure_of(EMFILE), BENCH_NO_DESCRIPTORS);
	ck_assert_int_eq(bench_failure_of(EADDRNOTAVAIL), BENCH_NO_PORTS);
	ck_assert_int_eq(bench_failure_of(EPERM), BENCH_OTHER);
	for (unsigned i = 0; i < BENCH_FAILURES; i++) {
		ck_assert_ptr_nonnull(bench_failures[i].name);
		ck_assert_int_eq(bench_failures[i].own, i >= BENCH_NO_PORTS);
	}
}
END_TEST

/* ---- options ---- */

static struct bench_settings settings;
static struct error err;

static int read_options(const char *address, struct bench_options options)
{
	return bench_options_read(&options, BENCH_TIMEOUT_UNSET, address, &settings, &err);
}

START_TEST(options_by_default)
{
	ck_assert_int_eq(read_options(ADDRESS, (struct bench_options){0}), 0);
	ck_assert_int_eq(settings.mode, BENCH_ECHO);
	ck_assert_uint_eq(settings.connections, 8);
	ck_assert_uint_eq(settings.duration_nsec, 10 * NSEC_PER_SEC);
	ck_assert_uint_eq(settings.timeout_nsec, 5 * NSEC_PER_SEC);
	ck_assert_uint_eq(settings.count, 0);
	ck_assert_uint_eq(settings.rate.count, 0);
	ck_assert_uint_eq(settings.size, 64);
	ck_assert_uint_eq(settings.processes, 1);
	bench_settings_free(&settings);
	ck_assert_int_eq(read_options("udp://127.0.0.1:7", (struct bench_options){0}), 0);
	ck_assert_uint_eq(settings.timeout_nsec, NSEC_PER_SEC);
	bench_settings_free(&settings);
}
END_TEST

START_TEST(options_as_written)
{
	struct bench_options options = {.connections = "100",
					.count = "5",
					.rate = "120/m",
					.size = "4K",
					.processes = "3",
					.mode = "discard"};

	ck_assert_int_eq(read_options(ADDRESS, options), 0);
	ck_assert_uint_eq(settings.connections, 100);
	/* A count without a duration takes as long as it takes. */
	ck_assert_uint_eq(settings.duration_nsec, 0);
	ck_assert_uint_eq(settings.count, 5);
	ck_assert_uint_eq(settings.rate.count, 120);
	ck_assert_uint_eq(settings.rate.per_usec, 60 * USEC_PER_SEC);
	ck_assert_uint_eq(settings.size, 4096);
	ck_assert_uint_eq(settings.processes, 3);
	ck_assert_int_eq(settings.mode, BENCH_DISCARD);
	bench_settings_free(&settings);
	options.processes = "64";
	options.connections = "2";
	ck_assert_int_eq(read_options(ADDRESS, options), 0);
	ck_assert_uint_eq(settings.processes, 2);
	bench_settings_free(&settings);
}
END_TEST

static void check_request(const char *address, struct bench_options options, const char *wanted)
{
	ck_assert_int_eq(read_options(address, options), 0);
	ck_assert_uint_eq(settings.request_size, strlen(wanted));
	ck_assert_mem_eq(settings.request, wanted, strlen(wanted));
	bench_settings_free(&settings);
}

#define AGENT "\r\nUser-Agent: preforkctl/" PACKAGE_VERSION "\r\nConnection: "

START_TEST(requests)
{
	check_request(ADDRESS, (struct bench_options){.request = "a\\r\\nb\\\\\\x41"}, "a\r\nb\\A");
	check_request(ADDRESS, (struct bench_options){.request = "x", .mode = "line"}, "x\n");
	check_request(ADDRESS, (struct bench_options){.request = "x\\n", .mode = "line"}, "x\n");
	check_request(ADDRESS, (struct bench_options){.mode = "http"},
		      "GET / HTTP/1.1\r\nHost: 127.0.0.1:7" AGENT "close\r\n\r\n");
	check_request("tcp://[::1]:80",
		      (struct bench_options){.mode = "http", .request = "/a b", .keep = true},
		      "GET /a b HTTP/1.1\r\nHost: [::1]:80" AGENT "keep-alive\r\n\r\n");
	check_request("unix:///run/x", (struct bench_options){.mode = "http"},
		      "GET / HTTP/1.1\r\nHost: localhost" AGENT "close\r\n\r\n");
	check_request(ADDRESS,
		      (struct bench_options){.mode = "http", .request = "HEAD / HTTP/1.0\\n\\n"},
		      "HEAD / HTTP/1.0\n\n");
}
END_TEST

static const struct {
	struct bench_options options;
	const char *text;
} mistakes[] = {
	{{.connections = "0"}, "--connections: \"0\" is no number from 1 to 100000"},
	{{.processes = "65"}, "--processes: \"65\" is no number from 1 to 64"},
	{{.count = ""}, "--count: \"\" is no number"},
	{{.duration = "1"}, "--duration: \"1\" is no duration"},
	{{.rate = "0/s"}, "--rate: \"0/s\" is no rate"},
	{{.rate = "10000001"}, "more than 10000000 a second"},
	{{.size = "x"}, "--size: \"x\" is no size"},
	{{.mode = "x"}, "--mode: \"x\"; there are echo"},
	{{.request = "\\x4"}, "--request: after \\ comes"},
	{{.request = "\\"}, "--request: after \\ comes"},
	{{.request = "x", .size = "5"}, "--size is for"},
	{{.request = "x", .keep = true}, "--keep: the end of the connection"},
	{{.mode = "read", .request = "x"}, "--mode read takes no request"},
};

START_TEST(options_that_are_wrong)
{
	ck_assert_int_eq(read_options(ADDRESS, mistakes[_i].options), -1);
	ck_assert_int_eq(err.code, EX_USAGE);
	ck_assert_ptr_nonnull(strstr(err.text, mistakes[_i].text));
	bench_settings_free(&settings);
}
END_TEST

static Suite *bench_suite(void)
{
	Suite *suite = suite_create("bench");
	TCase *tcase = tcase_create("bench");

	tcase_add_test(tcase, schedule_is_kept);
	tcase_add_test(tcase, schedule_counts_what_is_due);
	tcase_add_test(tcase, times_of_all_processes);
	tcase_add_loop_test(tcase, figures_for_people, 0, COUNT(figures));
	tcase_add_test(tcase, failures_by_kind);
	tcase_add_test(tcase, options_by_default);
	tcase_add_test(tcase, options_as_written);
	tcase_add_test(tcase, requests);
	tcase_add_loop_test(tcase, options_that_are_wrong, 0, COUNT(mistakes));
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(bench_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
