/* SPDX-License-Identifier: ISC */
/* qotd and its files. */
#include <config.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "test_handlers.h"

START_TEST(qotd_has_its_own)
{
	struct handler_instance instance;
	struct serving serving;
	char reply[1024];
	size_t size;

	open_handler(&instance, "qotd", &no_options);
	serving = start(&instance, stream_types[_i], 0);
	size = get(&serving, reply, sizeof(reply));
	ck_assert(size > 10 && size <= 512);
	ck_assert_int_eq(finish(&serving), 0);
	for (int i = 0; i < 100; i++) {
		ssize_t n = answer(&instance, "", 0, reply, sizeof(reply));

		ck_assert(n > 10 && n <= 512);
		ck_assert_mem_eq(reply + n - 2, "\r\n", 2);
		ck_assert_ptr_null(memchr(reply, '%', (size_t)n));
	}
	handler_close(&instance);
}
END_TEST

/* The path of a new file that holds text. */
static const char *make_file(const char *text, size_t size)
{
	static char path[] = "/tmp/test_handlers.XXXXXX";
	int fd;

	strcpy(path + sizeof(path) - 7, "XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, size), (ssize_t)size);
	close(fd);
	return path;
}

static int open_quotations(struct handler_instance *instance, const char *path, struct error *err)
{
	const struct preforkd_option options[] = {{"file", path}};
	const struct preforkd_setup setup = {"test", options, 1};

	return handler_open(instance, "qotd", NULL, &setup, err);
}

START_TEST(qotd_reads_a_file)
{
	static const char text[] = "%\none\n%\r\n\n%\n100%\n% \n%\nlast";
	struct handler_instance instance;
	struct error err = {0};
	const char *path = make_file(text, sizeof(text) - 1);
	bool one = false, hundred = false, last = false;

	ck_assert_msg(open_quotations(&instance, path, &err) == 0, "%s", err.text);
	unlink(path);
	ck_assert_int_eq(instance.handler->enter(instance.state), 0);
	for (int i = 0; i < 200; i++) {
		char reply[512];
		ssize_t n = answer(&instance, "", 0, reply, sizeof(reply));

		if (n == 4 && memcmp(reply, "one\n", 4) == 0)
			one = true;
		else if (n == 8 && memcmp(reply, "100%\n% \n", 8) == 0)
			hundred = true;
		else if (n == 4 && memcmp(reply, "last", 4) == 0)
			last = true;
		else
			ck_abort_msg("an unknown quotation: %.*s", (int)n, reply);
	}
	ck_assert(one && hundred && last);
	handler_close(&instance);
}
END_TEST

static void qotd_refuses(const char *text, size_t size, const char *why)
{
	struct handler_instance instance;
	struct error err = {0};
	const char *path = make_file(text, size);
	char expected[200];

	ck_assert_int_eq(open_quotations(&instance, path, &err), -1);
	unlink(path);
	snprintf(expected, sizeof(expected), "builtin \"qotd\": file \"%s\": %s", path, why);
	ck_assert_str_eq(err.text, expected);
	ck_assert_int_eq(err.code, EX_CONFIG);
	ck_assert_ptr_null(instance.handler);
}

START_TEST(qotd_refuses_bad_files)
{
	char text[600];

	qotd_refuses("", 0, "no quotation in it");
	qotd_refuses("%\n\n%\n", 5, "no quotation in it");
	memset(text, 'q', sizeof(text));
	memcpy(text, "a\n%\n", 4);
	text[516] = '\n';
	qotd_refuses(text, 517, "line 3: a quotation of 513 bytes; at most 512 are sent");
}
END_TEST

START_TEST(qotd_takes_512)
{
	struct handler_instance instance;
	struct error err = {0};
	char text[512 + 2], reply[REPLY_ROOM];
	const char *path;

	memset(text, 'q', 512);
	memcpy(text + 511, "\n%\n", 3);
	path = make_file(text, sizeof(text));
	ck_assert_msg(open_quotations(&instance, path, &err) == 0, "%s", err.text);
	unlink(path);
	ck_assert_int_eq(answer(&instance, "", 0, reply, sizeof(reply)), 512);
	handler_close(&instance);
}
END_TEST

START_TEST(qotd_refuses_what_is_no_file)
{
	struct handler_instance instance;
	struct error err = {0};
	char path[] = "/tmp/test_handlers.XXXXXX";
	char fifo[64];

	ck_assert_int_eq(open_quotations(&instance, "/nowhere/at all", &err), -1);
	ck_assert_str_eq(err.text, "builtin \"qotd\": file \"/nowhere/at all\": "
				   "No such file or directory");
	ck_assert_int_eq(open_quotations(&instance, "/", &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "not a regular file"));
	ck_assert_ptr_nonnull(mkdtemp(path));
	snprintf(fifo, sizeof(fifo), "%s/fifo", path);
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	ck_assert_int_eq(open_quotations(&instance, fifo, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "not a regular file"));
	unlink(fifo);
	rmdir(path);
}
END_TEST

void add_qotd(Suite *suite)
{
	TCase *tcase = add_case(suite, "qotd");

	tcase_add_loop_test(tcase, qotd_has_its_own, 0, 2);
	tcase_add_test(tcase, qotd_reads_a_file);
	tcase_add_test(tcase, qotd_refuses_bad_files);
	tcase_add_test(tcase, qotd_takes_512);
	tcase_add_test(tcase, qotd_refuses_what_is_no_file);
}
