/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "board/gauge.h"
#include "board/write.h"

static struct gauge *gauge;
static int wake[2];

static void open_all(void)
{
	gauge = gauge_map(2);
	ck_assert_ptr_nonnull(gauge);
	ck_assert_int_eq(pipe2(wake, O_NONBLOCK), 0);
	gauge_reset(gauge, 2);
	gauge_use(gauge, wake[1]);
}

/* Bytes in the pipe. */
static int wakes(void)
{
	char waste[4096];
	ssize_t n = read(wake[0], waste, sizeof(waste));

	return n > 0 ? (int)n : 0;
}

static void give(int count)
{
	while (count-- > 0)
		gauge_give();
}

START_TEST(test_counts)
{
	struct gauge_reading r;

	give(3);
	gauge_take();
	gauge_take();
	gauge_give();
	r = gauge_read(gauge);
	ck_assert_uint_eq(r.idle, 2);
	ck_assert_uint_eq(r.begun, 2);
	gauge_withdraw();
	r = gauge_read(gauge);
	ck_assert_uint_eq(r.idle, 1);
	ck_assert_uint_eq(r.begun, 2);
}
END_TEST

START_TEST(test_least_since_the_look)
{
	give(5);
	gauge_read(gauge);
	gauge_take();
	gauge_take();
	give(2);
	ck_assert_uint_eq(gauge_read(gauge).least, 3);
	ck_assert_uint_eq(gauge_read(gauge).least, 5);
	gauge_withdraw();
	gauge_give();
	ck_assert_uint_eq(gauge_read(gauge).least, 4);
}
END_TEST

START_TEST(test_below_zero)
{
	struct gauge_reading r;

	gauge_take();
	gauge_take();
	r = gauge_read(gauge);
	ck_assert_uint_eq(r.idle, 0);
	ck_assert_uint_eq(r.begun, 2);
	gauge_correct(gauge, 3);
	ck_assert_uint_eq(gauge_read(gauge).idle, 1);
	gauge_correct(gauge, -1);
	r = gauge_read(gauge);
	ck_assert_uint_eq(r.idle, 0);
	ck_assert_uint_eq(r.begun, 2);
}
END_TEST

/* Only who brings it below, only if it is armed, and only once. */
START_TEST(test_wakes)
{
	struct gauge_reading seen;

	give(4);
	gauge_take();
	gauge_take();
	gauge_take();
	ck_assert_int_eq(wakes(), 0);
	give(3);
	seen = gauge_read(gauge);
	ck_assert(gauge_arm(gauge, &seen));
	gauge_take();
	gauge_take();
	ck_assert_int_eq(wakes(), 0);
	gauge_take();
	ck_assert_int_eq(wakes(), 1);
	gauge_take();
	ck_assert_int_eq(wakes(), 0);
	seen = gauge_read(gauge);
	ck_assert(gauge_arm(gauge, &seen));
	gauge_disarm(gauge);
	give(1);
	gauge_take();
	ck_assert_int_eq(wakes(), 0);
}
END_TEST

START_TEST(test_armed_too_late)
{
	struct gauge_reading seen;

	give(3);
	seen = gauge_read(gauge);
	gauge_take();
	ck_assert(gauge_arm(gauge, &seen));
	gauge_disarm(gauge);
	gauge_take();
	ck_assert(!gauge_arm(gauge, &seen));
	/* It was seen then: nothing is new. */
	seen = gauge_read(gauge);
	ck_assert(gauge_arm(gauge, &seen));
	gauge_set_low(gauge, 1);
	gauge_take();
	ck_assert_int_eq(wakes(), 1);
}
END_TEST

START_TEST(test_without)
{
	gauge_use(NULL, -1);
	gauge_give();
	gauge_take();
	gauge_withdraw();
	ck_assert_uint_eq(gauge_read(gauge).idle, 0);
}
END_TEST

/* A slot and its gauge change together. */
START_TEST(test_slots)
{
	static struct slot slot;
	const struct sockaddr peer = {.sa_family = AF_UNIX};

	memset(&slot, 0, sizeof(slot));
	slot_leaving(&slot);
	ck_assert_uint_eq(gauge_read(gauge).idle, 0);
	slot_ready(&slot, 1);
	ck_assert_uint_eq(gauge_read(gauge).idle, 1);
	slot_begin(&slot, &peer, sizeof(peer.sa_family), 2);
	ck_assert_uint_eq(gauge_read(gauge).idle, 0);
	slot_end(&slot, CONN_finished, 3);
	ck_assert_uint_eq(gauge_read(gauge).idle, 1);
	slot_leaving(&slot);
	slot_leaving(&slot);
	ck_assert_uint_eq(gauge_read(gauge).idle, 0);
	ck_assert_uint_eq(gauge_read(gauge).begun, 1);
}
END_TEST

#define PROCESSES 8
#define ROUNDS    20000

static void work(void)
{
	give(1);
	for (int i = 0; i < ROUNDS; i++) {
		gauge_take();
		gauge_give();
	}
	gauge_take();
	_exit(0);
}

static bool have_ended(unsigned count)
{
	return gauge_read(gauge).begun >= count;
}

/* Many at once, while somebody arms it again and again: nothing is lost, and no wake either. */
START_TEST(test_many)
{
	const unsigned all = PROCESSES * (ROUNDS + 1);
	unsigned seen_wakes = 0;
	int status;

	gauge_set_low(gauge, 1);
	for (int i = 0; i < PROCESSES; i++)
		if (fork() == 0)
			work();
	while (!have_ended(all)) {
		struct gauge_reading seen = gauge_read(gauge);

		ck_assert_uint_le(seen.idle, PROCESSES);
		gauge_arm(gauge, &seen);
		seen_wakes += (unsigned)wakes();
	}
	for (int i = 0; i < PROCESSES; i++) {
		ck_assert_int_gt(wait(&status), 0);
		ck_assert_int_eq(status, 0);
	}
	ck_assert_uint_eq(gauge_read(gauge).idle, 0);
	ck_assert_uint_eq(gauge_read(gauge).begun, all);
	ck_assert_uint_gt(seen_wakes + (unsigned)wakes(), 0);
}
END_TEST

static Suite *gauge_suite(void)
{
	Suite *suite = suite_create("gauge");
	TCase *t = tcase_create("gauge");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, open_all, NULL);
	tcase_add_test(t, test_counts);
	tcase_add_test(t, test_least_since_the_look);
	tcase_add_test(t, test_below_zero);
	tcase_add_test(t, test_wakes);
	tcase_add_test(t, test_armed_too_late);
	tcase_add_test(t, test_without);
	tcase_add_test(t, test_slots);
	tcase_add_test(t, test_many);
	suite_add_tcase(suite, t);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(gauge_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
