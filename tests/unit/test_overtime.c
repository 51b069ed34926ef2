/* SPDX-License-Identifier: ISC */
/* The signal that ends a connection ends that one, and no other. */
#include <config.h>

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker/loop.h"
#include "worker/overtime.h"

#define TIMEOUT UINT64_C(1000000)

static struct slot slot;
static struct worker_job job;
static int answers[2], client[2];

static void set_up(void)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, answers), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, client), 0);
	job = (struct worker_job){.type = SOCK_STREAM,
				  .slot = &slot,
				  .answers = answers[1],
				  .connection_timeout_usec = TIMEOUT};
	overtime_open(&job);
}

static void tear_down(void)
{
	for (int i = 0; i < 2; i++) {
		close(answers[i]);
		close(client[i]);
	}
}

static void order(uint64_t number)
{
	ck_assert_int_eq(
		sigqueue(getpid(), SIGALRM, (union sigval){.sival_ptr = (void *)(uintptr_t)number}),
		0);
}

/* Whether the client is still connected, and the master was told that it is not late. */
static void check_end(bool ended, bool denied)
{
	char byte;
	ssize_t n = recv(client[1], &byte, 1, MSG_DONTWAIT);

	ck_assert_int_eq(n, ended ? 0 : -1);
	ck_assert(overtime_came() == ended);
	n = recv(answers[0], &byte, 1, MSG_DONTWAIT);
	ck_assert_int_eq(n, denied ? 1 : -1);
}

START_TEST(test_its_own)
{
	errno = EXDEV;
	overtime_begin(client[0], 7, loop_now() - TIMEOUT);
	order(7);
	ck_assert_int_eq(errno, EXDEV);
	check_end(true, false);
	ck_assert_uint_eq(slot.late, 7);
	/* Of a Unix socket nobody counts the bytes. */
	ck_assert_uint_eq(slot.late_in, UINT64_MAX);
	overtime_end();
}
END_TEST

START_TEST(test_another)
{
	overtime_begin(client[0], 8, loop_now() - TIMEOUT);
	order(7);
	check_end(false, true);
	order(0);
	check_end(false, true);
	order(UINT64_MAX);
	check_end(false, true);
	overtime_end();
}
END_TEST

START_TEST(test_too_early)
{
	overtime_begin(client[0], 7, loop_now() - TIMEOUT / 2);
	order(7);
	check_end(false, true);
	overtime_end();
}
END_TEST

START_TEST(test_none)
{
	overtime_begin(client[0], 7, loop_now() - TIMEOUT);
	overtime_end();
	order(7);
	check_end(false, true);
	order(0);
	check_end(false, true);
}
END_TEST

START_TEST(test_somebody_elses_signal)
{
	overtime_begin(client[0], 7, loop_now() - TIMEOUT);
	kill(getpid(), SIGALRM);
	check_end(false, false);
	overtime_end();
}
END_TEST

/* What the signal of the one before left behind is nothing to the next. */
START_TEST(test_the_next)
{
	overtime_begin(client[0], 7, loop_now() - TIMEOUT);
	order(7);
	check_end(true, false);
	overtime_end();
	overtime_begin(client[0], 8, loop_now());
	ck_assert(!overtime_came());
	overtime_end();
}
END_TEST

START_TEST(test_a_datagram)
{
	overtime_begin(-1, 7, loop_now() - TIMEOUT);
	order(7);
	ck_assert(overtime_came());
	overtime_end();
}
END_TEST

/* The master does not read: its queue is full, and still nobody is held up for ever. */
START_TEST(test_a_master_that_does_not_listen)
{
	const struct timeval patience = {.tv_usec = 10000};

	setsockopt(answers[1], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	overtime_begin(client[0], 8, loop_now());
	for (int i = 0; i < 500; i++)
		order(7);
	ck_assert(!overtime_came());
	overtime_end();
}
END_TEST

START_TEST(test_what_is_said)
{
	char text[OVERTIME_TEXT_MAX];
	struct log_about about = {.duration_usec = 61002345};

	ck_assert_str_eq(overtime_describe(text, &about), "61.002 s");
	about.counted = true;
	about.bytes_in = UINT64_MAX;
	about.bytes_out = UINT64_MAX;
	about.duration_usec = UINT64_MAX;
	ck_assert_str_eq(overtime_describe(text, &about),
			 "18446744073709.551 s, 18446744073709551615 bytes in, "
			 "18446744073709551615 out");
}
END_TEST

static Suite *overtime_suite(void)
{
	Suite *suite = suite_create("overtime");
	TCase *overtime = tcase_create("overtime");

	tcase_set_timeout(overtime, 30);
	tcase_add_checked_fixture(overtime, set_up, tear_down);
	tcase_add_test(overtime, test_its_own);
	tcase_add_test(overtime, test_another);
	tcase_add_test(overtime, test_too_early);
	tcase_add_test(overtime, test_none);
	tcase_add_test(overtime, test_somebody_elses_signal);
	tcase_add_test(overtime, test_the_next);
	tcase_add_test(overtime, test_a_datagram);
	tcase_add_test(overtime, test_a_master_that_does_not_listen);
	tcase_add_test(overtime, test_what_is_said);
	suite_add_tcase(suite, overtime);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(overtime_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
