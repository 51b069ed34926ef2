/* SPDX-License-Identifier: ISC */
/* What readers and the master make of files that nobody sane has written. */
#include <config.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "test_board.h"

static void overwrite(const char *name, size_t offset, const void *data, size_t size)
{
	int fd = open(path_of(name), O_WRONLY);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, data, size, (off_t)offset), (ssize_t)size);
	close(fd);
}

static void check_refused(int code)
{
	struct board_reader reader;
	struct error err = {0};

	ck_assert_int_lt(board_open(&reader, directory, &err), 0);
	ck_assert_int_eq(err.code, code);
	ck_assert_int_gt((int)strlen(err.text), 0);
	board_close(&reader);
}

static const struct {
	size_t offset, size;
} header_fields[] = {
	{offsetof(struct board_header, magic), 4},
	{offsetof(struct board_header, version), 4},
	{offsetof(struct board_header, layout), 8},
	{offsetof(struct board_header, size), 8},
};
static const char *const names[] = {"master", "board"};

START_TEST(test_headers)
{
	const char *name = names[_i % 2];
	const size_t offset = header_fields[_i / 2].offset, size = header_fields[_i / 2].size;
	const uint64_t wrong = UINT64_C(0x0102030405060708);

	overwrite(name, offset, &wrong, size);
	check_refused(EX_DATAERR);
}
END_TEST

START_TEST(test_truncated)
{
	static const size_t less[] = {1, 4096, 100000};
	const char *name = names[_i];
	struct stat st;

	ck_assert_int_eq(stat(path_of(name), &st), 0);
	/* Not of our own: a mapping of what is not there any more is the writer's trouble. */
	for (int i = 0; i < COUNT(less); i++) {
		ck_assert_int_eq(truncate(path_of(name), st.st_size - (off_t)less[i]), 0);
		check_refused(EX_DATAERR);
	}
	ck_assert_int_eq(truncate(path_of(name), sizeof(struct board_header)), 0);
	check_refused(EX_DATAERR);
	ck_assert_int_eq(truncate(path_of(name), 0), 0);
	check_refused(EX_UNAVAILABLE);
	ck_assert_int_eq(unlink(path_of(name)), 0);
	check_refused(EX_UNAVAILABLE);
}
END_TEST

static void read_everything(void)
{
	static struct pool_view pool;
	struct board_reader reader;
	struct instance_view instance;
	struct worker_view worker;
	struct verdict_view verdict;
	static struct ledgers_view ledgers;
	unsigned seen = 0;

	open_reader(&reader);
	board_read_ledgers(&reader, &ledgers);
	ck_assert_uint_le(ledgers.generation_count, BOARD_GENERATIONS + 1);
	board_read_instance(&reader, &instance);
	for (uint32_t i = 0; i < board_pool_count(&reader); i++)
		seen += board_read_pool(&reader, i, &pool);
	for (uint32_t i = 0; i < board_worker_count(&reader); i++) {
		if (!board_read_worker(&reader, i, &worker))
			continue;
		seen++;
		ck_assert_uint_lt(worker.state, SLOT_STATES);
		ck_assert_uint_le(worker.peer_len, BOARD_PEER_MAX);
	}
	for (int kind = 0; kind < VERDICT_KINDS; kind++)
		board_read_verdict(&reader, (enum verdict_kind)kind, &verdict);
	ck_assert_uint_eq(seen, 3 + 30);
	board_close(&reader);
}

static void fill(int kind, unsigned seed)
{
	unsigned char *p = (unsigned char *)board.workers->slots;

	for (size_t i = 0; i < 64 * sizeof(struct slot); i++)
		p[i] = kind == 0 ? 0xff : kind == 1 ? 0 : (unsigned char)rand_r(&seed);
}

/* Whatever workers write, readers come to an end, and so does the master's work. */
START_TEST(test_hostile_slots)
{
	int pools[3], slots[30];

	for (int i = 0; i < 3; i++)
		pools[i] = board_pool_open(&board, (const char *[]){"a", "b", "c"}[i], "x", "echo");
	for (int i = 0; i < 30; i++) {
		slots[i] = board_slot_take(&board, pools[i % 3], 1);
		board_slot_set_pid(&board, slots[i], 1000);
	}
	board_verdict_begin(&board, VERDICT_RELOAD);
	board_replace_begin(&board, VERDICT_RELOAD);
	for (unsigned seed = 0; seed < 50; seed++) {
		/* Told to leave before it goes mad, or after. */
		for (int i = 0; i < 15; i++)
			board_slot_replaced(&board, slots[i], VERDICT_RELOAD);
		fill(_i, seed);
		read_everything();
		for (int i = 0; i < 30; i++) {
			ck_assert_uint_lt(board_slot_state(&board, slots[i]), SLOT_STATES);
			board_slot_tell(&board, slots[i], WORD_LEAVE);
			board_slot_replaced(&board, slots[i], VERDICT_RELOAD);
			ck_assert_int_le(board_slot_fold(&board, slots[i]), 1);
			ck_assert_int_eq(board_slot_take(&board, pools[i % 3], 1), slots[i]);
			board_slot_set_pid(&board, slots[i], 1000);
		}
	}
}
END_TEST

/* Texts without an end in the master's file: not its doing, but no reason to crash. */
START_TEST(test_texts_without_an_end)
{
	int pool = board_pool_open(&board, "a", "x", "echo");
	struct master_file *m = board.master;
	struct board_reader reader;
	struct instance_view instance;
	struct verdict_view verdict;
	static struct pool_view view;

	memset(m->instance, 'x', sizeof(m->instance));
	memset(m->version, 'x', sizeof(m->version));
	memset(m->pools[pool].service, 'x', BOARD_NAME_MAX);
	memset(m->pools[pool].address, 'x', BOARD_ADDRESS_MAX);
	memset(m->pools[pool].handler, 'x', BOARD_NAME_MAX);
	memset(m->head.verdicts[VERDICT_STOP].text, 'x', BOARD_VERDICT_MAX);
	m->head.state = UINT32_MAX;
	m->pools_high = m->slots_high = UINT32_MAX;
	open_reader(&reader);
	ck_assert_uint_eq(board_pool_count(&reader), BOARD_POOLS);
	ck_assert_uint_eq(board_worker_count(&reader), BOARD_SLOTS);
	board_read_instance(&reader, &instance);
	ck_assert_uint_eq(strlen(instance.instance), BOARD_NAME_MAX - 1);
	ck_assert_uint_eq(strlen(instance.version), BOARD_NAME_MAX - 1);
	ck_assert(board_read_pool(&reader, (uint32_t)pool, &view));
	ck_assert_uint_eq(strlen(view.address), BOARD_ADDRESS_MAX - 1);
	board_read_verdict(&reader, VERDICT_STOP, &verdict);
	ck_assert_uint_eq(strlen(verdict.text), BOARD_VERDICT_MAX - 1);
	board_close(&reader);
}
END_TEST

static Suite *board_hostile_suite(void)
{
	Suite *suite = suite_create("board_hostile");
	TCase *hostile = tcase_create("hostile");

	tcase_set_timeout(hostile, 60);
	tcase_add_checked_fixture(hostile, create_board, remove_board);
	tcase_add_loop_test(hostile, test_headers, 0, 2 * COUNT(header_fields));
	tcase_add_loop_test(hostile, test_truncated, 0, COUNT(names));
	tcase_add_loop_test(hostile, test_hostile_slots, 0, 3);
	tcase_add_test(hostile, test_texts_without_an_end);
	suite_add_tcase(suite, hostile);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(board_hostile_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
