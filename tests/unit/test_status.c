/* SPDX-License-Identifier: ISC */
/* The built-in status without HTTP: the page, the health, and which answer goes where. */
#include <config.h>

#include "handlers/status/answer.h"
#include "handlers/status/health.h"
#include "handlers/status/html.h"
#include "handlers/status/page.h"
#include "test_view.h"

START_TEST(text_is_never_markup)
{
	char *text;

	WRITTEN(text, out, html_text(out, "<b a='1' c=\"2\">&amp;\n\xff\xc3\xa9"));
	ck_assert_str_eq(text, "&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;amp;\\n\\xff\xc3\xa9");
	free(text);
}
END_TEST

START_TEST(long_text_is_whole)
{
	char long_text[3001], *text;

	for (size_t i = 0; i < 3000; i += 3)
		memcpy(long_text + i, "\xe2\x82\xac", 4);
	WRITTEN(text, out, html_text(out, long_text));
	ck_assert_str_eq(text, long_text);
	free(text);
}
END_TEST

START_TEST(numbers_for_people)
{
	char text[HTML_SHOWN_MAX];

	ck_assert_str_eq(html_count(text, 0), "0");
	ck_assert_str_eq(html_count(text, 999), "999");
	ck_assert_str_eq(html_count(text, 1000), "1\u202f000");
	ck_assert_str_eq(html_count(text, UINT64_MAX),
			 "18\u202f446\u202f744\u202f073\u202f709\u202f551\u202f615");
	ck_assert_str_eq(html_usec(text, 999), "999 µs");
	ck_assert_str_eq(html_usec(text, 1234), "1.2 ms");
	ck_assert_str_eq(html_usec(text, 123400), "123 ms");
	ck_assert_str_eq(html_usec(text, 2500000), "2.5 s");
	ck_assert_str_eq(html_usec(text, 200000000), "3 min 20 s");
	ck_assert_str_eq(html_age(text, 7500000000), "2 h 5 min");
	ck_assert_str_eq(html_age(text, 356400000000), "4 d 3 h");
	ck_assert_uint_lt(strlen(html_age(text, UINT64_MAX)), HTML_SHOWN_MAX);
}
END_TEST

START_TEST(page_shows_a_hostile_board_as_text)
{
	char *text;

	WRITTEN(text, out, page_write(&view, out));
	has(text, "a&quot;b\\c\\nd&lt;script&gt;&amp;&#39;\\xff");
	has_not(text, "d<script>");
	has_not(text, "\xff");
	has(text, "1\u202f234\u202f567");
	has(text, "class=\"w busy\" title=\"pid 11: busy for 2 s");
	has_not(text, "{{");
	has_not(text, "18446744073709551615");
	ck_assert_str_eq(text + strlen(text) - 8, "</html>\n");
	free(text);
}
END_TEST

static void expect_health(bool ok, const char *expected)
{
	char *text;

	WRITTEN(text, out, ck_assert(health_write(&view, out) == ok));
	ck_assert_str_eq(text, expected);
	free(text);
}

START_TEST(health_says_why)
{
	expect_health(true, "ok\n");
	view.instance.state = MASTER_RELOADING;
	expect_health(true, "ok\n");
	snprintf(view_pools[0].service, BOARD_NAME_MAX, "echo");
	view_pools[0].values[POOL_workers_wanted] = 2;
	view_pools[0].values[POOL_workers_ready] = 1;
	view_pools[1].values[POOL_backoff_usec] = 800000;
	expect_health(false, "degraded: echo at tcp://127.0.0.1:7: 1 of 2 workers ready; "
			     "web at tcp://127.0.0.1:80: waits 800 ms before it starts the next "
			     "worker\n");
	view.instance.state = MASTER_STOPPING;
	expect_health(false, "stopping\n");
	view.instance.state = MASTER_GONE;
	expect_health(false, "gone\n");
}
END_TEST

static const struct asked {
	const char *method, *url;
	unsigned code;
} asked[] = {
	{"GET", "/", 503},
	{"HEAD", "/metrics", 503},
	{"GET", "http://somewhere/healthz", 503},
	{"GET", "HTTP://somewhere", 503},
	{"GET", "", 404},
	{"GET", "/../metrics", 404},
	{"GET", "/metrics/", 404},
	{"GET", "//", 404},
	{"GET", "*", 404},
	{"get", "/", 405},
	{"POST", "/", 405},
	{"DELETE", "/nowhere", 405},
	{"", "/", 405},
};

/* Without a board what is there is 503. */
START_TEST(answers_by_method_and_path)
{
	const struct asked *a = &asked[_i];
	struct answer answer;

	answer_make(&answer, NULL, a->method, a->url, NULL);
	ck_assert_uint_eq(answer.code, a->code);
	ck_assert_ptr_nonnull(answer.body);
	ck_assert_uint_eq(answer.size, strlen(answer.body));
	ck_assert(!answer.allow == (a->code != 405));
	free(answer.body);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("status");
	TCase *tests = tcase_create("status");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tests, make_view, NULL);
	tcase_add_test(tests, text_is_never_markup);
	tcase_add_test(tests, long_text_is_whole);
	tcase_add_test(tests, numbers_for_people);
	tcase_add_test(tests, page_shows_a_hostile_board_as_text);
	tcase_add_test(tests, health_says_why);
	tcase_add_loop_test(tests, answers_by_method_and_path, 0, sizeof(asked) / sizeof(*asked));
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
