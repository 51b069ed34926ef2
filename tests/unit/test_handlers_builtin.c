/* SPDX-License-Identifier: ISC */
/* echo, discard, chargen, daytime, time. */
#include <config.h>

#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "test_handlers.h"

START_TEST(echo_serves)
{
	struct handler_instance instance;
	struct serving serving;
	char reply[32];

	open_handler(&instance, "echo", &no_options);
	serving = start(&instance, stream_types[_i], 0);
	put(&serving, "one", 3);
	ck_assert_int_eq(preforkd_read(serving.fd, reply, sizeof(reply)), 3);
	put(&serving, "twoo", 4);
	ck_assert_int_eq(preforkd_read(serving.fd, reply, sizeof(reply)), 4);
	ck_assert_mem_eq(reply, "twoo", 4);
	shutdown(serving.fd, SHUT_WR);
	ck_assert_uint_eq(get(&serving, reply, sizeof(reply)), 0);
	ck_assert_int_eq(finish(&serving), READ_TO_END);
	handler_close(&instance);
}
END_TEST

START_TEST(echo_keeps_big_packets)
{
	static char data[65536 + 1], reply[65536 + 1];
	struct handler_instance instance;
	struct serving serving;
	int size = 1 << 20;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7 + i / 256);
	open_handler(&instance, "echo", &no_options);
	serving = start(&instance, SOCK_SEQPACKET, 0);
	setsockopt(serving.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	put(&serving, data, 65536);
	ck_assert_int_eq(preforkd_read(serving.fd, reply, sizeof(reply)), 65536);
	ck_assert_mem_eq(reply, data, 65536);
	put(&serving, data, 65537);
	ck_assert_uint_eq(get(&serving, reply, sizeof(reply)), 0);
	ck_assert_int_eq(finish(&serving), EMSGSIZE);
	handler_close(&instance);
}
END_TEST

START_TEST(echo_reports_idle_timeout)
{
	struct handler_instance instance;
	struct serving serving;
	char reply[8];

	open_handler(&instance, "echo", &no_options);
	serving = start(&instance, stream_types[_i], 30);
	ck_assert_uint_eq(get(&serving, reply, sizeof(reply)), 0);
	ck_assert_int_eq(finish(&serving), EAGAIN);
	handler_close(&instance);
}
END_TEST

START_TEST(echo_answers_as_much)
{
	static char data[REPLY_ROOM], reply[REPLY_ROOM];
	struct handler_instance instance;

	memset(data, 'x', sizeof(data));
	open_handler(&instance, "echo", &no_options);
	ck_assert_int_eq(answer(&instance, data, 3, reply, sizeof(reply)), 3);
	ck_assert_int_eq(answer(&instance, data, sizeof(data), reply, sizeof(reply)), REPLY_ROOM);
	ck_assert_mem_eq(reply, data, sizeof(data));
	ck_assert_int_eq(answer(&instance, data, 100, reply, 10), 10);
	ck_assert_int_eq(answer(&instance, NULL, 0, reply, sizeof(reply)), 0);
	handler_close(&instance);
}
END_TEST

START_TEST(discard_is_silent)
{
	struct handler_instance instance;
	struct serving serving;
	char data[5000] = "x";

	open_handler(&instance, "discard", &no_options);
	serving = start(&instance, stream_types[_i], 0);
	for (int i = 0; i < 100; i++)
		put(&serving, data, sizeof(data));
	shutdown(serving.fd, SHUT_WR);
	ck_assert_uint_eq(get(&serving, data, sizeof(data)), 0);
	ck_assert_int_eq(finish(&serving), READ_TO_END);
	ck_assert_int_eq(answer(&instance, "x", 1, data, sizeof(data)), 0);
	handler_close(&instance);
}
END_TEST

#define LINE_A " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg\r\n"
#define LINE_B "!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefgh\r\n"

static void check_lines(const char *data, size_t lines)
{
	for (size_t line = 0; line < lines; line++, data += 74) {
		for (size_t i = 0; i < 72; i++)
			ck_assert_int_eq(data[i], ' ' + (int)((line + i) % 95));
		ck_assert_mem_eq(data + 72, "\r\n", 2);
	}
}

START_TEST(chargen_streams)
{
	static char data[74 * 300];
	struct handler_instance instance;
	struct serving serving;

	open_handler(&instance, "chargen", &no_options);
	serving = start(&instance, SOCK_STREAM, 0);
	put(&serving, "ignored", 7);
	shutdown(serving.fd, SHUT_WR);
	ck_assert_uint_eq(get(&serving, data, sizeof(data)), sizeof(data));
	ck_assert_mem_eq(data, LINE_A LINE_B, 2 * 74);
	check_lines(data, 300);
	ck_assert_int_eq(finish(&serving), 0);
	handler_close(&instance);
}
END_TEST

START_TEST(chargen_packets_are_lines)
{
	struct handler_instance instance;
	struct serving serving;
	char data[200];

	open_handler(&instance, "chargen", &no_options);
	serving = start(&instance, SOCK_SEQPACKET, 0);
	for (int i = 0; i < 200; i++) {
		ck_assert_int_eq(preforkd_read(serving.fd, data, sizeof(data)), 74);
		ck_assert_int_eq(data[0], ' ' + i % 95);
	}
	ck_assert_int_eq(finish(&serving), 0);
	handler_close(&instance);
}
END_TEST

START_TEST(chargen_stops_for_idle_clients)
{
	struct handler_instance instance;
	struct serving serving;
	int status;

	open_handler(&instance, "chargen", &no_options);
	serving = start(&instance, SOCK_STREAM, 30);
	ck_assert_int_eq(waitpid(serving.pid, &status, 0), serving.pid);
	ck_assert_int_eq(WEXITSTATUS(status), EAGAIN);
	close(serving.fd);
	handler_close(&instance);
}
END_TEST

START_TEST(chargen_answers_random_lengths)
{
	struct handler_instance instance;
	char reply[REPLY_ROOM];
	ssize_t least = 512, most = 1;

	open_handler(&instance, "chargen", &no_options);
	for (int i = 0; i < 20000; i++) {
		ssize_t n = answer(&instance, "", 0, reply, sizeof(reply));

		ck_assert(n >= 1 && n <= 512);
		ck_assert_int_eq(reply[0], '~'); /* line 94 */
		least = n < least ? n : least;
		most = n > most ? n : most;
	}
	ck_assert_int_eq(least, 1);
	ck_assert_int_eq(most, 512);
	for (int i = 0; i < 100; i++)
		ck_assert_int_le(answer(&instance, "", 0, reply, 5), 5);
	handler_close(&instance);
}
END_TEST

START_TEST(daytime_is_a_date)
{
	struct handler_instance instance;
	struct serving serving;
	char line[100] = "", reply[100];
	time_t now = time(NULL), then;
	struct tm tm = {0};
	const char *end;
	size_t size;

	open_handler(&instance, "daytime", &no_options);
	serving = start(&instance, stream_types[_i], 0);
	size = get(&serving, line, sizeof(line) - 1);
	ck_assert_uint_eq(size, strlen("Sun, 22 Nov 2026 08:00:00 GMT\r\n"));
	ck_assert_int_eq(finish(&serving), 0);
	end = strptime(line, "%a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
	ck_assert(end && *end == '\0');
	then = timegm(&tm);
	ck_assert(then >= now && then <= now + 5);
	ck_assert_int_eq(answer(&instance, "", 0, reply, sizeof(reply)), (ssize_t)size);
	ck_assert_int_eq(answer(&instance, "", 0, reply, 4), 4);
	handler_close(&instance);
}
END_TEST

START_TEST(time_counts_from_1900)
{
	struct handler_instance instance;
	struct serving serving;
	unsigned char bytes[8];
	uint32_t expected = (uint32_t)((uint64_t)time(NULL) + 2208988800u);
	uint32_t got;

	open_handler(&instance, "time", &no_options);
	serving = start(&instance, stream_types[_i], 0);
	ck_assert_uint_eq(get(&serving, (char *)bytes, sizeof(bytes)), 4);
	ck_assert_int_eq(finish(&serving), 0);
	got = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	      bytes[3];
	ck_assert_uint_le(got - expected, 5);
	ck_assert_int_eq(answer(&instance, "", 0, bytes, sizeof(bytes)), 4);
	handler_close(&instance);
}
END_TEST

void add_builtins(Suite *suite)
{
	TCase *tcase = add_case(suite, "builtins");

	tcase_add_loop_test(tcase, echo_serves, 0, 2);
	tcase_add_test(tcase, echo_keeps_big_packets);
	tcase_add_loop_test(tcase, echo_reports_idle_timeout, 0, 2);
	tcase_add_test(tcase, echo_answers_as_much);
	tcase_add_loop_test(tcase, discard_is_silent, 0, 2);
	tcase_add_test(tcase, chargen_streams);
	tcase_add_test(tcase, chargen_packets_are_lines);
	tcase_add_test(tcase, chargen_stops_for_idle_clients);
	tcase_add_test(tcase, chargen_answers_random_lengths);
	tcase_add_loop_test(tcase, daytime_is_a_date, 0, 2);
	tcase_add_loop_test(tcase, time_counts_from_1900, 0, 2);
}
