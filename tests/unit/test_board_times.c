/* SPDX-License-Identifier: ISC */
/* How long connections took, and had waited: from the workers' hands to the readers'. */
#include <config.h>

#include <netinet/in.h>
#include <pthread.h>
#include <sys/mman.h>

#include "board/write.h"
#include "test_board.h"

static const struct sockaddr_in peer = {.sin_family = AF_INET};

static struct slot *take(int pool, struct times **times)
{
	int index = board_slot_take(&board, pool, 1);

	*times = board_pool_times(&board, pool, index);
	return &board.workers->slots[index];
}

static void serve(struct slot *slot, enum connection_field outcome, uint64_t usec)
{
	slot_begin(slot, (const struct sockaddr *)&peer, sizeof(peer), 1000);
	slot_end(slot, outcome, 1000 + usec);
}

static struct pool_view look(int pool)
{
	struct board_reader reader;
	struct pool_view view = {0};

	open_reader(&reader);
	board_read_times(&reader, (uint32_t)pool, &view);
	board_close(&reader);
	return view;
}

START_TEST(test_what_counts)
{
	int pool = board_pool_open(&board, "a", "tcp://1", "echo");
	int other = board_pool_open(&board, "a", "tcp://2", "echo");
	struct times *times;
	struct slot *slot = take(pool, &times);
	struct pool_view view;

	serve(slot, CONN_finished, 7); /* by a process that has nowhere to put it */
	times_use(times);
	serve(slot, CONN_finished, 100);
	serve(slot, CONN_timed_out, 1000);
	serve(slot, CONN_aborted_error, 10000);
	serve(slot, CONN_refused_access, 5);
	serve(slot, CONN_refused_queue, 5);
	times_waited(3);
	view = look(pool);
	ck_assert_uint_eq(histogram_count(&view.times), 3);
	ck_assert_uint_eq(view.times.counts[histogram_bucket(100)], 1);
	ck_assert_uint_eq(view.times.counts[histogram_bucket(1000)], 1);
	ck_assert_uint_eq(view.times.counts[histogram_bucket(10000)], 1);
	ck_assert_uint_eq(histogram_count(&view.waits), 1);
	ck_assert_uint_eq(histogram_quantile(&view.waits, 1), 3);
	view = look(other);
	ck_assert_uint_eq(histogram_count(&view.times), 0);
	ck_assert_uint_eq(histogram_count(&view.waits), 0);
	times_use(NULL);
}
END_TEST

START_TEST(test_a_place_that_is_taken_again)
{
	int pool = board_pool_open(&board, "a", "tcp://1", "echo");
	struct times *times;
	struct slot *slot = take(pool, &times);
	struct pool_view view;

	times_use(times);
	serve(slot, CONN_finished, 100);
	times_waited(3);
	board_pool_close(&board, pool);
	ck_assert_int_eq(board_pool_open(&board, "b", "tcp://2", "echo"), pool);
	view = look(pool);
	ck_assert_uint_eq(histogram_count(&view.times), 0);
	ck_assert_uint_eq(histogram_count(&view.waits), 0);
	/* The page is a new one, not none. */
	serve(slot, CONN_finished, 100);
	view = look(pool);
	ck_assert_uint_eq(histogram_count(&view.times), 1);
	times_use(NULL);
}
END_TEST

START_TEST(test_they_outlive_the_worker)
{
	int pool = board_pool_open(&board, "a", "tcp://1", "echo");
	struct times *times;
	struct slot *slot = take(pool, &times);
	struct pool_view view;

	times_use(times);
	serve(slot, CONN_finished, 100);
	board_slot_fold(&board, (int)(slot - board.workers->slots));
	view = look(pool);
	ck_assert_uint_eq(histogram_count(&view.times), 1);
	times_use(NULL);
}
END_TEST

enum { WRITERS = 4, TURNS = 50000 };

/* All of them to the same one: they would lose some if they did not add in one step. */
static void *hammer(void *times)
{
	times_use(times);
	for (int i = 0; i < TURNS; i++)
		times_waited(i % 8 == 0 ? 1 : 1000);
	return NULL;
}

START_TEST(test_several_add_to_one)
{
	int pool = board_pool_open(&board, "a", "tcp://1", "echo");
	pthread_t threads[WRITERS];
	struct times *times;
	struct pool_view view;

	take(pool, &times);
	for (int i = 0; i < WRITERS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, hammer, times), 0);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	view = look(pool);
	ck_assert_uint_eq(histogram_count(&view.waits), WRITERS * TURNS);
	ck_assert_uint_eq(view.waits.counts[1], WRITERS * TURNS / 8);
}
END_TEST

/* Slots that follow each other do not all write to the same cache lines. */
START_TEST(test_shards)
{
	int pool = board_pool_open(&board, "a", "tcp://1", "echo");
	struct times *first, *next;

	take(pool, &first);
	take(pool, &next);
	ck_assert_ptr_ne(first, next);
	ck_assert_uint_eq((uintptr_t)first % 64, 0);
}
END_TEST

START_TEST(test_hostile_numbers)
{
	int pool = board_pool_open(&board, "a", "tcp://1", "echo");
	struct pool_view view;

	memset(&board.workers->times[pool], 0xff, sizeof(board.workers->times[pool]));
	view = look(pool);
	ck_assert_uint_lt(histogram_quantile(&view.times, 0.99), UINT64_C(1) << HISTOGRAM_BITS);
	histogram_mean(&view.times);
	/* A reader that was given a wrong place stays within the file. */
	look(BOARD_POOLS);
	look(-1);
}
END_TEST

static Suite *board_times_suite(void)
{
	Suite *suite = suite_create("board_times");
	TCase *times = tcase_create("times");

	tcase_add_checked_fixture(times, create_board, remove_board);
	tcase_add_test(times, test_what_counts);
	tcase_add_test(times, test_a_place_that_is_taken_again);
	tcase_add_test(times, test_they_outlive_the_worker);
	tcase_add_test(times, test_several_add_to_one);
	tcase_add_test(times, test_shards);
	tcase_add_test(times, test_hostile_numbers);
	suite_add_tcase(suite, times);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(board_times_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
