/* SPDX-License-Identifier: ISC */
/* message, and what it logs. */
#include <config.h>

#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "test_handlers.h"

/* From here on what is logged goes to a file in memory. */
static int catch_log(void)
{
	int fd = memfd_create("log", 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	return fd;
}

static const char *caught(int fd, char *text, size_t room)
{
	ssize_t n = pread(fd, text, room - 1, 0);

	ck_assert_int_ge(n, 0);
	text[n] = '\0';
	return text;
}

#define GOT "I got your message\n"

static void message_says(const char *sent, size_t size, bool half_close, int type, const char *text)
{
	struct handler_instance instance;
	struct serving serving;
	static char log[70000];
	char reply[64];
	int fd = catch_log();

	open_handler(&instance, "message", &no_options);
	serving = start(&instance, type, 0);
	put(&serving, sent, size);
	if (half_close)
		shutdown(serving.fd, SHUT_WR);
	ck_assert_uint_eq(get(&serving, reply, sizeof(reply)), strlen(GOT));
	ck_assert_mem_eq(reply, GOT, strlen(GOT));
	ck_assert_int_eq(finish(&serving), 0);
	caught(fd, log, sizeof(log));
	if (text)
		ck_assert_msg(strstr(log, text) != NULL, "%s is not in: %s", text, log);
	else
		ck_assert_str_eq(log, "");
	handler_close(&instance);
}

START_TEST(message_ends_with_line)
{
	message_says("hello\r\n", 7, false, SOCK_STREAM, "message from 192.0.2.1:4711: hello\n");
}
END_TEST

START_TEST(message_is_the_first_line)
{
	message_says("one\ntwo\n", 8, false, SOCK_STREAM, ": one\n");
}
END_TEST

START_TEST(message_ends_with_input)
{
	message_says("hello", 5, true, SOCK_STREAM, ": hello\n");
}
END_TEST

START_TEST(message_may_be_empty)
{
	message_says("", 0, true, SOCK_STREAM, NULL);
}
END_TEST

START_TEST(message_ends_at_4096)
{
	static char data[4096];

	memset(data, 'a', sizeof(data));
	message_says(data, sizeof(data), false, SOCK_STREAM, "aaaa");
}
END_TEST

START_TEST(message_may_be_a_packet)
{
	message_says("hello\nyou\n", 10, false, SOCK_SEQPACKET, ": hello\\nyou\n");
}
END_TEST

START_TEST(message_cannot_forge_lines)
{
	message_says("a\x1b[0m\rpreforkd[1]: b\n", 21, false, SOCK_STREAM, ": a\\x1b[0m\\");
}
END_TEST

START_TEST(message_comes_in_pieces)
{
	struct handler_instance instance;
	struct serving serving;
	char reply[64];

	open_handler(&instance, "message", &no_options);
	serving = start(&instance, SOCK_STREAM, 0);
	put(&serving, "hel", 3);
	ck_assert_int_eq(recv(serving.fd, reply, sizeof(reply), MSG_DONTWAIT), -1);
	put(&serving, "lo\n", 3);
	ck_assert_uint_eq(get(&serving, reply, sizeof(reply)), strlen(GOT));
	ck_assert_int_eq(finish(&serving), 0);
	serving = start(&instance, SOCK_STREAM, 30);
	put(&serving, "hel", 3);
	ck_assert_uint_eq(get(&serving, reply, sizeof(reply)), 0);
	ck_assert_int_eq(finish(&serving), EAGAIN);
	handler_close(&instance);
}
END_TEST

START_TEST(message_answers)
{
	struct handler_instance instance;
	static char data[20000];
	char reply[64], log[2000];
	int fd = catch_log();

	open_handler(&instance, "message", &no_options);
	ck_assert_int_eq(answer(&instance, "hi\n", 3, reply, sizeof(reply)), (int)strlen(GOT));
	ck_assert_mem_eq(reply, GOT, strlen(GOT));
	ck_assert_ptr_nonnull(strstr(caught(fd, log, sizeof(log)), "from 192.0.2.1:4711: hi\n"));
	ck_assert_int_eq(answer(&instance, data, sizeof(data), reply, 5), 5);
	ck_assert_int_eq(answer(&instance, "", 0, reply, sizeof(reply)), (int)strlen(GOT));
	handler_close(&instance);
}
END_TEST

void add_message(Suite *suite)
{
	TCase *tcase = add_case(suite, "message");

	tcase_add_test(tcase, message_ends_with_line);
	tcase_add_test(tcase, message_is_the_first_line);
	tcase_add_test(tcase, message_ends_with_input);
	tcase_add_test(tcase, message_may_be_empty);
	tcase_add_test(tcase, message_ends_at_4096);
	tcase_add_test(tcase, message_may_be_a_packet);
	tcase_add_test(tcase, message_cannot_forge_lines);
	tcase_add_test(tcase, message_comes_in_pieces);
	tcase_add_test(tcase, message_answers);
}
