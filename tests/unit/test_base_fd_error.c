/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(*(array))))

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static int file_of(const void *data, size_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fd_write_all(fd, data, size), 0);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

START_TEST(test_close)
{
	int fd = file_of("", 0), number = fd;

	errno = EDOM;
	fd_close(&fd);
	ck_assert_int_eq(fd, -1);
	ck_assert(!is_open(number));
	errno = EDOM;
	fd_close(&fd);
	ck_assert_int_eq(fd, -1);
	ck_assert_int_eq(errno, EDOM);
	fd = number; /* closed already: close(2) fails, which must not show */
	fd_close(&fd);
	ck_assert_int_eq(fd, -1);
	ck_assert_int_eq(errno, EDOM);
}
END_TEST

START_TEST(test_close_as_cleanup)
{
	int number;

	{
		__attribute__((cleanup(fd_close))) int fd = file_of("", 0);

		number = fd;
		ck_assert(is_open(number));
	}
	ck_assert(!is_open(number));
}
END_TEST

static void on_signal(int number)
{
	(void)number;
}

struct drain {
	int fd;
	pthread_t writer;
	size_t size;
};

/* Reads slowly and interrupts the writer all the while. */
static void *drain_run(void *argument)
{
	struct drain *drain = argument;
	char buffer[3000];
	ssize_t n;

	while ((n = read(drain->fd, buffer, sizeof(buffer))) > 0) {
		drain->size += (size_t)n;
		pthread_kill(drain->writer, SIGUSR1);
	}
	return NULL;
}

START_TEST(test_write_all_again_after_signals)
{
	static char data[1 << 20];
	struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART */
	struct drain drain = {.writer = pthread_self()};
	pthread_t reader;
	int ends[2];

	sigaction(SIGUSR1, &action, NULL);
	ck_assert_int_eq(pipe(ends), 0);
	drain.fd = ends[0];
	ck_assert_int_eq(pthread_create(&reader, NULL, drain_run, &drain), 0);
	ck_assert_int_eq(fd_write_all(ends[1], data, sizeof(data)), 0);
	fd_close(&ends[1]);
	pthread_join(reader, NULL);
	ck_assert_uint_eq(drain.size, sizeof(data));
	fd_close(&ends[0]);
}
END_TEST

START_TEST(test_write_all_errors)
{
	int ends[2];
	char data[1 << 17] = {0};

	ck_assert_int_eq(fd_write_all(-1, "x", 1), -1);
	ck_assert_int_eq(errno, EBADF);
	ck_assert_int_eq(fd_write_all(-1, "", 0), 0);
	signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(pipe2(ends, O_NONBLOCK), 0);
	ck_assert_int_eq(fd_write_all(ends[1], data, sizeof(data)), -1);
	ck_assert_int_eq(errno, EAGAIN);
	fd_close(&ends[0]);
	ck_assert_int_eq(fd_write_all(ends[1], "x", 1), -1);
	ck_assert_int_eq(errno, EPIPE);
	fd_close(&ends[1]);
}
END_TEST

static const struct {
	size_t size, max;
	bool ok;
} reads[] = {
	{0, 0, true},
	{0, 10, true},
	{1, 0, false},
	{1, 1, true},
	{2, 1, false},
	{4095, 4095, true},
	{4096, 4095, false},
	{4096, 4096, true},
	{4097, 4096, false},
	{4097, 4097, true},
	{100000, 99999, false},
	{100000, 100000, true},
	{100000, 1 << 20, true},
	{100000, SIZE_MAX, true},
	{5, SIZE_MAX - 1, true},
};

START_TEST(test_read_all)
{
	size_t size = reads[_i].size, got = 12345;
	char *data = calloc(1, size + 1), *read;
	int fd;

	ck_assert_ptr_nonnull(data);
	for (size_t i = 0; i < size; i++)
		data[i] = (char)(i * 7);
	fd = file_of(data, size);
	errno = 0;
	read = fd_read_all(fd, reads[_i].max, &got);
	if (reads[_i].ok) {
		ck_assert_ptr_nonnull(read);
		ck_assert_uint_eq(got, size);
		ck_assert_mem_eq(read, data, size);
		ck_assert_int_eq(read[size], 0);
	} else {
		ck_assert_ptr_null(read);
		ck_assert_int_eq(errno, EFBIG);
		ck_assert_uint_eq(got, 12345);
	}
	free(read);
	free(data);
	fd_close(&fd);
}
END_TEST

START_TEST(test_read_all_errors)
{
	size_t size;
	int directory = open("/", O_RDONLY | O_DIRECTORY);

	ck_assert_ptr_null(fd_read_all(-1, 10, &size));
	ck_assert_int_eq(errno, EBADF);
	ck_assert_ptr_null(fd_read_all(directory, 10, &size));
	ck_assert_int_eq(errno, EISDIR);
	fd_close(&directory);
}
END_TEST

START_TEST(test_read_all_in_pieces_without_size)
{
	int ends[2];
	char *text;

	ck_assert_int_eq(pipe(ends), 0);
	if (!fork()) {
		for (int i = 0; i < 3; i++) {
			fd_write_all(ends[1], "abc", 3);
			usleep(2000);
		}
		_exit(0);
	}
	fd_close(&ends[1]);
	text = fd_read_all(ends[0], 9, NULL);
	ck_assert_str_eq(text, "abcabcabc");
	free(text);
	fd_close(&ends[0]);
}
END_TEST

/* Descriptors 20 to 29 are opened; keep, unsorted and with others among it, names what survives. */
static const struct {
	int keep[6];
	size_t count;
} keeps[] = {
	{{0}, 0},
	{{20}, 1},
	{{29}, 1},
	{{25, 21, 23}, 3},
	{{20, 21, 22}, 3},
	{{29, 28, -1, 20}, 4},
	{{-1, -1}, 2},
	{{24, 24, 24}, 3},
	{{0, 1, 2, 22}, 4},
	{{1000, 26}, 2},
	{{INT32_MAX, 27}, 2},
};

START_TEST(test_close_others)
{
	int fd = file_of("", 0);

	for (int i = 20; i < 30; i++)
		ck_assert_int_eq(dup2(fd, i), i);
	ck_assert_int_eq(fd_close_others(keeps[_i].keep, keeps[_i].count), 0);
	for (int i = 20; i < 30; i++) {
		bool kept = false;

		for (size_t k = 0; k < keeps[_i].count; k++)
			kept |= keeps[_i].keep[k] == i;
		ck_assert_msg(is_open(i) == kept, "descriptor %d: kept %d", i, kept);
	}
	ck_assert(!is_open(fd));
	ck_assert(is_open(0) && is_open(1) && is_open(2));
}
END_TEST

START_TEST(test_error_set)
{
	struct error err = {0};

	ck_assert_int_eq(error_set(&err, EX_CONFIG, "key \"%s\": %d", "workers", 7), -1);
	ck_assert_int_eq(err.code, EX_CONFIG);
	ck_assert_str_eq(err.text, "key \"workers\": 7");
	ck_assert_int_eq(error_set(NULL, EX_CONFIG, "%s", "nobody listens"), -1);
}
END_TEST

START_TEST(test_error_set_around_itself)
{
	struct error err = {0};

	error_set(&err, EX_CONFIG, "inner");
	error_set(&err, EX_OSERR, "outer: %s", err.text);
	ck_assert_str_eq(err.text, "outer: inner");
	ck_assert_int_eq(err.code, EX_OSERR);
}
END_TEST

START_TEST(test_error_set_cuts)
{
	char text[ERROR_TEXT_MAX + 10];
	struct error err = {0};

	memset(text, 'a', sizeof(text));
	text[ERROR_TEXT_MAX - 1] = '\0';
	error_set(&err, 1, "%s", text);
	ck_assert_str_eq(err.text, text);
	text[ERROR_TEXT_MAX - 1] = 'a';
	text[ERROR_TEXT_MAX] = '\0';
	error_set(&err, 1, "%s", text);
	ck_assert_uint_eq(strlen(err.text), ERROR_TEXT_MAX - 1);
	ck_assert_str_eq(err.text + ERROR_TEXT_MAX - 5, "a...");
}
END_TEST

static const struct {
	int errnum, code;
} codes[] = {
	{EACCES, EX_NOPERM},
	{EPERM, EX_NOPERM},
	{EADDRINUSE, EX_UNAVAILABLE},
	{EADDRNOTAVAIL, EX_UNAVAILABLE},
	{ECONNREFUSED, EX_UNAVAILABLE},
	{ENOENT, EX_CONFIG},
	{ENOTSOCK, EX_CONFIG},
	{ENOMEM, EX_OSERR},
	{EAGAIN, EX_OSERR},
	{EMFILE, EX_OSERR},
	{ENFILE, EX_OSERR},
	{ENOBUFS, EX_OSERR},
	{EIO, EX_OSERR},
	{0, EX_OSERR},
	{-5, EX_OSERR},
	{99999, EX_OSERR},
};

START_TEST(test_error_code_of)
{
	ck_assert_int_eq(error_code_of(codes[_i].errnum), codes[_i].code);
}
END_TEST

START_TEST(test_list_empty)
{
	struct error_list list = {0};
	char *joined = error_list_join(&list);

	ck_assert_str_eq(joined, "");
	free(joined);
	error_list_free(&list);
	ck_assert_uint_eq(list.count, 0);
}
END_TEST

START_TEST(test_list)
{
	struct error_list list = {0};
	char *joined;

	error_list_add(&list, EX_CONFIG, "first: %s", "a");
	ck_assert_str_eq(list.texts[0], "first: a");
	error_list_add(&list, EX_OSERR, "second");
	error_list_add(&list, EX_NOPERM, "%s", "");
	ck_assert_uint_eq(list.count, 3);
	ck_assert_int_eq(list.code, EX_CONFIG);
	joined = error_list_join(&list);
	ck_assert_str_eq(joined, "first: a\nsecond\n");
	free(joined);
	error_list_free(&list);
	ck_assert_uint_eq(list.count, 0);
	ck_assert_ptr_null(list.texts);
	error_list_add(&list, EX_OSERR, "again");
	ck_assert_int_eq(list.code, EX_OSERR);
	error_list_free(&list);
}
END_TEST

START_TEST(test_list_long)
{
	struct error_list list = {0};
	char text[2 * ERROR_TEXT_MAX], *joined;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 500; i++)
		error_list_add(&list, EX_CONFIG, "%s", text);
	ck_assert_uint_eq(list.count, 500);
	ck_assert_str_eq(list.texts[499], text);
	joined = error_list_join(&list);
	ck_assert_uint_eq(strlen(joined), 500 * sizeof(text) - 1);
	free(joined);
	error_list_free(&list);
}
END_TEST

/* What a shortage of memory leaves: a count above the texts. */
START_TEST(test_list_with_dropped_texts)
{
	struct error_list list = {.count = 2, .code = EX_CONFIG};
	char *joined = error_list_join(&list);

	ck_assert_str_eq(joined, "");
	free(joined);
	error_list_add(&list, EX_OSERR, "third");
	ck_assert_uint_eq(list.count, 3);
	ck_assert_int_eq(list.code, EX_CONFIG);
	joined = error_list_join(&list);
	ck_assert_str_eq(joined, "third");
	free(joined);
	error_list_free(&list);
}
END_TEST

static Suite *fd_error_suite(void)
{
	Suite *suite = suite_create("base/fd, base/error");
	TCase *fd = tcase_create("fd"), *error = tcase_create("error");

	tcase_add_test(fd, test_close);
	tcase_add_test(fd, test_close_as_cleanup);
	tcase_add_test(fd, test_write_all_again_after_signals);
	tcase_add_test(fd, test_write_all_errors);
	tcase_add_loop_test(fd, test_read_all, 0, COUNT(reads));
	tcase_add_test(fd, test_read_all_errors);
	tcase_add_test(fd, test_read_all_in_pieces_without_size);
	tcase_add_loop_test(fd, test_close_others, 0, COUNT(keeps));
	tcase_add_test(error, test_error_set);
	tcase_add_test(error, test_error_set_around_itself);
	tcase_add_test(error, test_error_set_cuts);
	tcase_add_loop_test(error, test_error_code_of, 0, COUNT(codes));
	tcase_add_test(error, test_list_empty);
	tcase_add_test(error, test_list);
	tcase_add_test(error, test_list_long);
	tcase_add_test(error, test_list_with_dropped_texts);
	suite_add_tcase(suite, fd);
	suite_add_tcase(suite, error);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(fd_error_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
