/* SPDX-License-Identifier: ISC */
/* bench: what is sent, and what is taken for its reply. */
#include <config.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/bench_exchange.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(*(array))))

/* ---- what is sent and demanded ---- */

static struct bench_exchange exchange;
static struct bench_reply reply;

static void exchange_of(enum bench_mode mode, uint64_t size, const char *request)
{
	struct bench_settings of = {.mode = mode, .size = size};

	of.request = request ? strdup(request) : NULL;
	of.request_size = request ? strlen(request) : 0;
	bench_exchange_init(&exchange, &of);
	bench_reply_begin(&exchange, &reply);
}

/* The message, put together from its chunks. */
static char *message(uint64_t token, uint64_t size)
{
	char *all = malloc(size + 1);
	uint64_t sent = 0;

	ck_assert_ptr_nonnull(all);
	while (sent < size) {
		const char *data;
		size_t n = bench_exchange_chunk(&exchange, token, sent, &data);

		ck_assert_uint_gt(n, 0);
		ck_assert_uint_le(n, size - sent);
		memcpy(all + sent, data, n);
		sent += n;
	}
	all[size] = '\0';
	return all;
}

static const uint64_t sizes[] = {1, 7, 8, 9, 64, 65535, 65536, 65537, 65544, 200000};

START_TEST(messages_differ_and_are_known_again)
{
	uint64_t size = sizes[_i];
	char *one, *two;

	exchange_of(BENCH_ECHO, size, NULL);
	one = message(1, size);
	two = message(2, size);
	ck_assert_uint_eq(strlen(one), size);
	ck_assert_int_ne(memcmp(one, two, size), 0);
	/* In any two parts. */
	for (uint64_t cut = 1; cut < size; cut += size < 100 ? 1 : 9973) {
		bench_reply_begin(&exchange, &reply);
		ck_assert_int_eq(bench_reply_feed(&exchange, &reply, 1, one, cut), BENCH_MORE);
		ck_assert_int_eq(bench_reply_end(&exchange, &reply), BENCH_EARLY);
		ck_assert_int_eq(bench_reply_feed(&exchange, &reply, 1, one + cut, size - cut),
				 BENCH_WHOLE);
		ck_assert_int_eq(bench_reply_end(&exchange, &reply), BENCH_WHOLE);
		ck_assert_int_eq(bench_reply_feed(&exchange, &reply, 1, "x", 1), BENCH_BAD);
	}
	bench_reply_begin(&exchange, &reply);
	ck_assert_int_eq(bench_reply_feed(&exchange, &reply, 2, one, size), BENCH_BAD);
	one[size - 1] ^= 1;
	bench_reply_begin(&exchange, &reply);
	ck_assert_int_eq(bench_reply_feed(&exchange, &reply, 1, one, size), BENCH_BAD);
	free(one);
	free(two);
}
END_TEST

START_TEST(datagrams_are_whole)
{
	char *one;

	exchange_of(BENCH_ECHO, 20, NULL);
	one = message(5, 20);
	ck_assert_int_eq(bench_reply_datagram(&exchange, 5, one, 20), BENCH_WHOLE);
	ck_assert_int_eq(bench_reply_datagram(&exchange, 5, one, 19), BENCH_BAD);
	ck_assert_int_eq(bench_reply_datagram(&exchange, 5, one, 0), BENCH_BAD);
	ck_assert_int_eq(bench_reply_datagram(&exchange, 6, one, 20), BENCH_BAD);
	free(one);
	exchange_of(BENCH_READ, 20, NULL);
	ck_assert_uint_eq(exchange.size, 0);
	ck_assert_int_eq(bench_reply_datagram(&exchange, 5, "any", 3), BENCH_WHOLE);
}
END_TEST

START_TEST(lines)
{
	char *line;

	exchange_of(BENCH_LINE, 12, NULL);
	line = message(77, 12);
	ck_assert_ptr_eq(strchr(line, '\n'), line + 11);
	free(line);
	exchange_of(BENCH_LINE, 1, NULL);
	line = message(77, 1);
	ck_assert_str_eq(line, "\n");
	free(line);
	ck_assert_int_eq(bench_reply_feed(&exchange, &reply, 0, "ab", 2), BENCH_MORE);
	ck_assert_int_eq(bench_reply_end(&exchange, &reply), BENCH_EARLY);
	ck_assert_int_eq(bench_reply_feed(&exchange, &reply, 0, "c\n", 2), BENCH_WHOLE);
	ck_assert_int_eq(bench_reply_end(&exchange, &reply), BENCH_WHOLE);
	ck_assert_int_eq(bench_reply_feed(&exchange, &reply, 0, "d", 1), BENCH_BAD);
	bench_reply_begin(&exchange, &reply);
	ck_assert_int_eq(bench_reply_feed(&exchange, &reply, 0, "a\nb", 3), BENCH_BAD);
}
END_TEST

START_TEST(ends_of_the_others)
{
	exchange_of(BENCH_READ, 0, NULL);
	ck_assert_int_eq(bench_reply_end(&exchange, &reply), BENCH_EARLY);
	ck_assert_int_eq(bench_reply_feed(&exchange, &reply, 0, "x", 1), BENCH_MORE);
	ck_assert_int_eq(bench_reply_end(&exchange, &reply), BENCH_WHOLE);
	exchange_of(BENCH_DISCARD, 10, NULL);
	ck_assert_int_eq(bench_reply_end(&exchange, &reply), BENCH_WHOLE);
	ck_assert_int_eq(bench_reply_feed(&exchange, &reply, 0, "x", 1), BENCH_BAD);
	exchange_of(BENCH_ECHO, 0, NULL);
	ck_assert_int_eq(bench_reply_end(&exchange, &reply), BENCH_WHOLE);
}
END_TEST

/* ---- HTTP ---- */

static const struct {
	const char *request, *text;
	enum bench_http_state end; /* after all of it */
	bool closes;
} replies[] = {
	{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", HTTP_DONE, false},
	{"GET", "HTTP/1.1 200 OK\nCONTENT-LENGTH:\t3\n\nabc", HTTP_DONE, false},
	{"GET", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", HTTP_DONE, false},
	{"GET", "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", HTTP_DONE, true},
	{"GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na",
	 HTTP_DONE, false},
	{"GET", "HTTP/1.1 302 Found\r\nConnection: Close\r\nContent-Length: 1\r\n\r\na", HTTP_DONE,
	 true},
	{"GET", "HTTP/1.1 200 OK\r\n\r\nabc", HTTP_TO_END, true},
	{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", HTTP_LENGTH, false},
	{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd", HTTP_WRONG, false},
	{"GET",
	 "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
	 "chunked\r\n\r\na\r\n0123456789\r\n1;x\r\na\r\n0\r\n\r\n",
	 HTTP_DONE, false},
	{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n", HTTP_DONE,
	 false},
	{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", HTTP_WRONG,
	 false},
	{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", HTTP_WRONG, false},
	{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000000000000000\r\n",
	 HTTP_WRONG, false},
	{"GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 None\r\n\r\n", HTTP_DONE, false},
	{"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", HTTP_DONE, false},
	{"HEAD / HTTP/1.1", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP_DONE, false},
	{"GET", "HTTP/1.1 404 Not Found\r\n", HTTP_WRONG, false},
	{"GET", "HTTP/1.1 500 Error\r\n", HTTP_WRONG, false},
	{"GET", "HTTP/1.1 2x0 OK\r\n", HTTP_WRONG, false},
	{"GET", "HTTP/1.1 20\r\n", HTTP_WRONG, false},
	{"GET", "HTTP/2 200 OK\r\n", HTTP_WRONG, false},
	{"GET", "\r\n", HTTP_WRONG, false},
	{"GET", "HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n", HTTP_WRONG, false},
	{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", HTTP_WRONG,
	 false},
};

START_TEST(http_replies)
{
	const char *text = replies[_i].text, *request = replies[_i].request;
	size_t size = strlen(text);

	for (size_t cut = 0; cut <= size; cut++) {
		struct bench_http http;

		bench_http_begin(&http, request, strlen(request));
		bench_http_feed(&http, text, cut);
		ck_assert_int_eq(bench_http_feed(&http, text + cut, size - cut), replies[_i].end);
		if (replies[_i].end != HTTP_WRONG)
			ck_assert_int_eq(http.closes, replies[_i].closes);
	}
}
END_TEST

START_TEST(http_with_long_lines)
{
	struct bench_http http;

	bench_http_begin(&http, "GET", 3);
	ck_assert_int_eq(bench_http_feed(&http, "HTTP/1.1 200 OK\r\nX: ", 20), HTTP_HEAD);
	for (int i = 0; i < 10000; i++)
		ck_assert_int_eq(bench_http_feed(&http, "xxxxxxxxxx", 10), HTTP_HEAD);
	ck_assert_int_eq(bench_http_feed(&http, "\r\nContent-Length: 1\r\n\r\na", 24), HTTP_DONE);
}
END_TEST

static Suite *exchange_suite(void)
{
	Suite *suite = suite_create("bench_exchange");
	TCase *tcase = tcase_create("exchange");

	tcase_add_loop_test(tcase, messages_differ_and_are_known_again, 0, COUNT(sizes));
	tcase_add_test(tcase, datagrams_are_whole);
	tcase_add_test(tcase, lines);
	tcase_add_test(tcase, ends_of_the_others);
	tcase_add_loop_test(tcase, http_replies, 0, COUNT(replies));
	tcase_add_test(tcase, http_with_long_lines);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(exchange_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
