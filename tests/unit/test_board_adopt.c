/* SPDX-License-Identifier: ISC */
/* The board when its master executes itself anew, and when it is of another version. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "board/write.h"
#include "test_board.h"

static struct board adopted;

static int adopt(struct error *err)
{
	return board_adopt(&adopted, directory, board.master_fd, board.workers_fd,
			   board.readonly_fd, err);
}

/* The rest of the test goes on with what was adopted. */
static void go_on(void)
{
	munmap(board.master, sizeof(struct master_file));
	munmap(board.workers, sizeof(struct board_file));
	free(board.directory);
	board = adopted;
}

/* The same with new files, as a master does that finds another layout. */
static void put_new_board(void)
{
	struct board old = board;
	struct error err = {0};

	ck_assert_msg(board_create(&board, directory, "new", &err) == 0, "%s", err.text);
	close(old.readonly_fd);
	close(old.workers_fd);
	close(old.master_fd);
	munmap(old.master, sizeof(struct master_file));
	munmap(old.workers, sizeof(struct board_file));
	free(old.directory);
}

static int create_another(void)
{
	struct board another;
	struct error err = {0};

	if (board_create(&another, directory, "another", &err) < 0)
		return err.code;
	board_remove(&another);
	return 0;
}

static bool closes_on_exec(int fd)
{
	int flags = fcntl(fd, F_GETFD);

	ck_assert_int_ge(flags, 0);
	return flags & FD_CLOEXEC;
}

/* ---- of our layout ---- */

START_TEST(test_descriptors)
{
	const int fds[] = {board.master_fd, board.workers_fd, board.readonly_fd};
	struct error err = {0};
	int saved;

	for (int i = 0; i < COUNT(fds); i++)
		ck_assert(closes_on_exec(fds[i]));
	ck_assert_int_eq(board_set_inheritable(&board, true, &err), 0);
	for (int i = 0; i < COUNT(fds); i++)
		ck_assert(!closes_on_exec(fds[i]));
	ck_assert_int_eq(board_set_inheritable(&board, false, &err), 0);
	for (int i = 0; i < COUNT(fds); i++)
		ck_assert(closes_on_exec(fds[i]));
	/* All or none. */
	saved = board.readonly_fd;
	board.readonly_fd = -1;
	ck_assert_int_lt(board_set_inheritable(&board, true, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "Bad file descriptor"));
	board.readonly_fd = saved;
	for (int i = 0; i < COUNT(fds); i++)
		ck_assert(closes_on_exec(fds[i]));
}
END_TEST

static void fill_board(void)
{
	int pool = board_pool_open(&board, "a", "tcp://1", "echo");
	int slot = board_slot_take(&board, pool, 3);

	board_slot_set_pid(&board, slot, 4711);
	board.workers->slots[slot].values[CONN_accepted] = 5;
	board.workers->slots[slot].values[CONN_finished] = 4;
	board_slot_tell(&board, slot, WORD_LEAVE);
	board_pool_add(&board, pool, POOL_workers_started, 9);
	board_add(&board, INSTANCE_reloads, 2);
	board_set_state(&board, MASTER_RUNNING);
	board_verdict_begin(&board, VERDICT_RELOAD);
	board_verdict_finish(&board, VERDICT_RELOAD, 1, "a bad line");
	board_verdict_begin(&board, VERDICT_UPGRADE);
	snprintf(board.master->version, BOARD_NAME_MAX, "0.0.0");
}

static void check_filled(void)
{
	struct board_reader reader;
	struct instance_view instance;
	struct pool_view pool;
	struct worker_view worker;
	struct verdict_view verdict;

	open_reader(&reader);
	board_read_instance(&reader, &instance);
	ck_assert_uint_eq(instance.pid, (unsigned)getpid());
	ck_assert_int_eq(instance.state, MASTER_GONE); /* one sees no lock of one's own */
	ck_assert_uint_eq(instance.values[INSTANCE_reloads], 2);
	ck_assert_uint_eq(instance.connections[CONN_accepted], 5);
	ck_assert_str_eq(instance.instance, "test");
	ck_assert_str_eq(instance.version, PACKAGE_VERSION);
	ck_assert(board_read_pool(&reader, 0, &pool));
	ck_assert_uint_eq(pool.values[POOL_workers_started], 9);
	ck_assert(board_read_worker(&reader, 0, &worker));
	ck_assert_uint_eq(worker.pid, 4711);
	ck_assert(worker.leaving);
	board_read_verdict(&reader, VERDICT_RELOAD, &verdict);
	ck_assert_uint_eq(verdict.finished, 1);
	ck_assert_str_eq(verdict.text, "a bad line");
	board_read_verdict(&reader, VERDICT_UPGRADE, &verdict);
	ck_assert_uint_eq(verdict.begun, 1);
	ck_assert_uint_eq(verdict.finished, 0);
	board_close(&reader);
}

START_TEST(test_adopt)
{
	struct error err = {0};
	struct stat before, after;
	uint64_t started;

	fill_board();
	started = board.master->started_usec;
	ck_assert_int_eq(stat(path_of("master"), &before), 0);
	ck_assert_int_eq(board_set_inheritable(&board, true, &err), 0);
	ck_assert_msg(adopt(&err) == 1, "%s", err.text);
	go_on();
	ck_assert_int_eq(stat(path_of("master"), &after), 0);
	ck_assert(before.st_ino == after.st_ino);
	ck_assert(closes_on_exec(board.master_fd) && closes_on_exec(board.workers_fd) &&
		  closes_on_exec(board.readonly_fd));
	ck_assert_int_eq(in_child(create_another), EX_UNAVAILABLE);
	/* Reading in this very process gives the lock back, in the end. */
	check_filled();
	ck_assert_uint_eq(board.master->started_usec, started);
	ck_assert_int_eq(board.master->head.state, MASTER_RUNNING);
	/* What it goes on with. */
	ck_assert_int_eq(board_pool_open(&board, "a", "tcp://1", "echo"), 0);
	ck_assert_uint_eq(board_verdict_begun(&board, VERDICT_UPGRADE), 1);
	board_verdict_finish(&board, VERDICT_UPGRADE, 0, "upgraded");
	ck_assert_uint_eq(board_verdict_begin(&board, VERDICT_UPGRADE), 2);
	board_remove(&board);
	ck_assert_int_eq(in_child(create_another), 0);
}
END_TEST

static void touch_master(void)
{
	signal(SIGSEGV, SIG_DFL);
	adopted.master->head.pid = 1;
}

START_TEST(test_the_adopted_mapping_is_not_a_workers)
{
	struct error err = {0};
	pid_t pid;
	int status;

	ck_assert_int_eq(adopt(&err), 1);
	go_on();
	pid = fork();
	if (pid == 0) {
		touch_master();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}
END_TEST

/* The workers' file says nothing that counts. */
START_TEST(test_a_hostile_header)
{
	struct board_reader reader;
	struct error err = {0};

	fill_board();
	memset(&board.workers->header, _i ? 0xff : 0, sizeof(struct board_header));
	ck_assert_int_lt(board_open(&reader, directory, &err), 0);
	ck_assert_msg(adopt(&err) == 1, "%s", err.text);
	go_on();
	check_filled();
}
END_TEST

/* ---- what nobody claims ---- */

START_TEST(test_slots_found_again)
{
	int pool = board_pool_open(&board, "a", "tcp://1", "echo");
	int other = board_pool_open(&board, "b", "tcp://2", "echo");
	int slot = board_slot_take(&board, other, 1);

	board_slot_set_pid(&board, slot, 4711);
	ck_assert_int_eq(board_slot_adopt(&board, slot, 4711), other);
	ck_assert_int_ne(pool, other);
	ck_assert_int_eq(board_slot_adopt(&board, slot, 4712), -1);
	ck_assert_int_eq(board_slot_adopt(&board, slot, 0), -1);
	ck_assert_int_eq(board_slot_adopt(&board, slot + 1, 4711), -1);
	ck_assert_int_eq(board_slot_adopt(&board, -1, 4711), -1);
	ck_assert_int_eq(board_slot_adopt(&board, BOARD_SLOTS, 4711), -1);
	board_slot_fold(&board, slot);
	ck_assert_int_eq(board_slot_adopt(&board, slot, 4711), -1);
	ck_assert_int_eq(board_slot_adopt(&board, slot, 0), -1);
}
END_TEST

START_TEST(test_release)
{
	static bool slots[BOARD_SLOTS], pools[BOARD_POOLS];
	struct board_reader reader;
	struct instance_view view;
	struct pool_view pool;
	int a = board_pool_open(&board, "a", "tcp://1", "echo");
	int b = board_pool_open(&board, "b", "tcp://2", "echo");

	for (int i = 0; i < 10; i++) {
		int slot = board_slot_take(&board, i % 2 ? b : a, 1);

		board_slot_set_pid(&board, slot, 1000 + (unsigned)i);
		board.workers->slots[slot].values[CONN_accepted] = 3;
		board.workers->slots[slot].values[CONN_finished] = 2;
		slots[slot] = i < 4 && i % 2 == 0;
	}
	pools[a] = true;
	ck_assert_uint_eq(board_slots_release_unclaimed(&board, slots), 8);
	ck_assert_uint_eq(board_slots_release_unclaimed(&board, slots), 0);
	ck_assert_uint_eq(board_pools_release_unclaimed(&board, pools), 1);
	ck_assert_uint_eq(board_pools_release_unclaimed(&board, pools), 0);
	ck_assert_int_eq(board_slot_adopt(&board, 0, 1000), a);
	ck_assert_int_eq(board_slot_adopt(&board, 2, 1002), a);
	open_reader(&reader);
	ck_assert(board_read_pool(&reader, (uint32_t)a, &pool));
	ck_assert_uint_eq(pool.connections[CONN_accepted], 5 * 3);
	ck_assert_uint_eq(pool.connections[CONN_aborted_death], 3);
	ck_assert(!board_read_pool(&reader, (uint32_t)b, &pool));
	board_read_instance(&reader, &view);
	ck_assert_uint_eq(view.connections[CONN_accepted], 10 * 3);
	ck_assert_uint_eq(view.connections[CONN_aborted_death], 8);
	ck_assert_uint_eq(board_open_connections(view.connections), 2);
	board_close(&reader);
	/* The places are free again. */
	ck_assert_int_eq(board_slot_take(&board, a, 2), 1);
	ck_assert_int_eq(board_pool_open(&board, "c", "tcp://3", "echo"), b);
}
END_TEST

/* ---- of another layout ---- */

static void become_other(int field)
{
	struct board_header *header = &board.master->head.header;

	if (field == 0)
		header->version++;
	else if (field == 1)
		header->layout++;
	else
		header->size++;
}

START_TEST(test_another_layout)
{
	struct error err = {0};
	struct stat before, after;

	fill_board();
	become_other(_i);
	ck_assert_int_eq(stat(path_of("master"), &before), 0);
	ck_assert_int_eq(board_set_inheritable(&board, true, &err), 0);
	ck_assert_int_eq(adopt(&err), 0);
	/* As if it had not been tried. */
	ck_assert(!closes_on_exec(board.master_fd) && !closes_on_exec(board.workers_fd) &&
		  !closes_on_exec(board.readonly_fd));
	ck_assert_str_eq(board.master->version, "0.0.0");
	ck_assert_ptr_null(adopted.master);
	ck_assert_int_eq(in_child(create_another), EX_UNAVAILABLE);
	put_new_board();
	ck_assert_int_eq(stat(path_of("master"), &after), 0);
	ck_assert(before.st_ino != after.st_ino);
	ck_assert_int_eq(in_child(create_another), EX_UNAVAILABLE);
	ck_assert_str_eq(board.master->instance, "new");
}
END_TEST

/* Who tries all the time, and how often it must have. */
static int tries[2];

static void try_again_and_again(void)
{
	char byte = 0;

	while (write(tries[1], &byte, 1) == 1)
		if (create_another() != EX_UNAVAILABLE)
			_exit(1);
}

START_TEST(test_never_two_masters)
{
	pid_t pids[3];
	int status;
	char byte;

	ck_assert_int_eq(pipe(tries), 0);
	for (int i = 0; i < COUNT(pids); i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			close(tries[0]);
			signal(SIGPIPE, SIG_IGN);
			try_again_and_again();
			_exit(0);
		}
	}
	close(tries[1]);
	for (int i = 0; i < 300; i++) {
		/* One of them at least is on its way. */
		ck_assert_int_eq(read(tries[0], &byte, 1), 1);
		put_new_board();
	}
	close(tries[0]);
	for (int i = 0; i < COUNT(pids); i++) {
		ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
		ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
	}
	ck_assert_str_eq(board.master->instance, "new");
}
END_TEST

/* The results of the same process are on its new board as soon as that can be seen. */
START_TEST(test_verdicts_go_on)
{
	struct board_reader reader;
	struct verdict_view view;

	for (int i = 0; i < 5; i++)
		board_verdict_begin(&board, VERDICT_UPGRADE);
	board_verdict_begin(&board, VERDICT_RELOAD);
	board_verdict_finish(&board, VERDICT_RELOAD, 1, "a bad line");
	become_other(1);
	put_new_board();
	open_reader(&reader);
	board_read_verdict(&reader, VERDICT_RELOAD, &view);
	ck_assert(view.begun == 1 && view.finished == 1 && view.failed);
	ck_assert_str_eq(view.text, "a bad line");
	board_read_verdict(&reader, VERDICT_UPGRADE, &view);
	ck_assert(view.begun == 5 && view.finished == 0);
	board_verdict_resume(&board, VERDICT_UPGRADE, 5);
	board_read_verdict(&reader, VERDICT_UPGRADE, &view);
	ck_assert(view.begun == 5 && view.finished == 0);
	board_verdict_finish(&board, VERDICT_UPGRADE, 0, "upgraded");
	board_read_verdict(&reader, VERDICT_UPGRADE, &view);
	ck_assert(view.finished == 5 && !view.failed);
	ck_assert_str_eq(view.text, "upgraded");
	ck_assert_uint_eq(board_verdict_begin(&board, VERDICT_UPGRADE), 6);
	board_close(&reader);
}
END_TEST

/* Those of another process are not. */
static void make_it_anothers(int how)
{
	if (how == 0)
		board.master->head.pid++;
	else if (how == 1)
		board.master->head.pid_start_ticks++;
	else if (how == 2)
		board.master->head.header.magic++;
	else
		ck_assert_int_eq(unlink(path_of("master")), 0);
}

START_TEST(test_verdicts_of_another)
{
	struct board_reader reader;
	struct verdict_view view;

	for (int i = 0; i < 5; i++)
		board_verdict_begin(&board, VERDICT_UPGRADE);
	make_it_anothers(_i);
	put_new_board();
	open_reader(&reader);
	board_read_verdict(&reader, VERDICT_UPGRADE, &view);
	ck_assert(view.begun == 0 && view.finished == 0);
	/* Whoever knows the number can go on with it. */
	board_verdict_resume(&board, VERDICT_UPGRADE, 5);
	board_read_verdict(&reader, VERDICT_UPGRADE, &view);
	ck_assert(view.begun == 5 && view.finished == 4);
	board_close(&reader);
}
END_TEST

/* ---- what cannot be adopted ---- */

static void break_magic(void)
{
	board.master->head.header.magic++;
}

static void break_pid(void)
{
	board.master->head.pid++;
}

static void cut_master(void)
{
	ck_assert_int_eq(truncate(path_of("master"), sizeof(struct master_file) - 1), 0);
}

static void empty_master(void)
{
	ck_assert_int_eq(truncate(path_of("master"), 0), 0);
}

static void cut_workers(void)
{
	ck_assert_int_eq(truncate(path_of("board"), sizeof(struct board_file) - 4096), 0);
}

static void remove_master(void)
{
	ck_assert_int_eq(unlink(path_of("master")), 0);
}

static void remove_workers(void)
{
	ck_assert_int_eq(unlink(path_of("board")), 0);
}

static void replace_workers(void)
{
	remove_workers();
	close(open(path_of("board"), O_RDWR | O_CREAT, 0644));
}

static void take_wrong_descriptor(void)
{
	board.readonly_fd = board.master_fd;
}

static void take_closed_descriptor(void)
{
	board.workers_fd = -1;
}

static const struct {
	void (*harm)(void);
	const char *text;
} harms[] = {
	{break_magic, "/master: not a board of preforkd"},
	{break_pid, "/master: the board of another process"},
	{cut_master, "/master: "},
	{empty_master, "/master: not a board of preforkd"},
	{cut_workers, "/board: "},
	{remove_master, "/master: No such file or directory"},
	{remove_workers, "/board: No such file or directory"},
	{replace_workers, "/board: another file is there now"},
	{take_wrong_descriptor, "can write"},
	{take_closed_descriptor, "/board: Bad file descriptor"},
};

START_TEST(test_cannot_be_adopted)
{
	struct board saved = board;
	struct error err = {0};

	harms[_i].harm();
	ck_assert_int_eq(adopt(&err), -1);
	ck_assert_msg(strstr(err.text, harms[_i].text) != NULL, "%s", err.text);
	ck_assert_int_gt(err.code, 0);
	ck_assert_ptr_null(adopted.master);
	board = saved;
	ck_assert_int_ge(fcntl(board.master_fd, F_GETFD), 0);
	/* And yet it can go on, with a new one. */
	put_new_board();
	ck_assert_int_eq(in_child(create_another), EX_UNAVAILABLE);
}
END_TEST

/* ---- readers ---- */

/* 0 when the head says what another process can know of this master. */
static int look_at_the_head(void)
{
	struct board_reader reader;
	struct verdict_view view;
	struct error err = {0};
	int master;

	if (board_open(&reader, directory, &err) == 0 || err.code != EX_DATAERR)
		return 1;
	if (board_open_head(&reader, directory, &err) < 0 || !board_master_lives(&reader))
		return 2;
	errno = 0;
	master = board_master_pidfd(&reader, &err);
	if (master < 0 && errno != ENOSYS) /* valgrind knows no pidfd */
		return 3;
	board_read_verdict(&reader, VERDICT_RELOAD, &view);
	if (view.finished != 1 || !view.failed || strcmp(view.text, "a bad line") != 0)
		return 4;
	if (master >= 0)
		close(master);
	board_close(&reader);
	return 0;
}

START_TEST(test_the_head_of_any_version)
{
	fill_board();
	/* Another version, and nothing after the head is what it is here; it may be shorter too. */
	become_other(_i);
	memset(board.master->instance, 0xff,
	       sizeof(struct master_file) - offsetof(struct master_file, instance));
	if (_i == 2)
		ck_assert_int_eq(truncate(path_of("master"), sizeof(struct master_head)), 0);
	ck_assert_int_eq(in_child(look_at_the_head), 0);
}
END_TEST

START_TEST(test_no_head)
{
	struct board_reader reader;
	struct error err = {0};

	if (_i == 0)
		break_magic();
	else if (_i == 1)
		ck_assert_int_eq(truncate(path_of("master"), sizeof(struct master_head) - 1), 0);
	else if (_i == 2)
		empty_master();
	else
		remove_master();
	ck_assert_int_lt(board_open_head(&reader, directory, &err), 0);
	ck_assert_int_eq(err.code, _i < 2 ? EX_DATAERR : EX_UNAVAILABLE);
	board_close(&reader);
}
END_TEST

START_TEST(test_replaced)
{
	struct board_reader old, new;
	struct error err = {0};

	open_reader(&old);
	ck_assert(!board_replaced(&old, directory));
	put_new_board();
	ck_assert(board_replaced(&old, directory));
	ck_assert_int_eq(board_open_head(&new, directory, &err), 0);
	ck_assert(!board_replaced(&new, directory));
	ck_assert(board_same_master(&old, &new));
	board.master->head.pid_start_ticks++;
	ck_assert(!board_same_master(&old, &new));
	board.master->head.pid_start_ticks--;
	board.master->head.pid++;
	ck_assert(!board_same_master(&old, &new));
	/* Nothing there is no other board. */
	board_remove(&board);
	ck_assert(!board_replaced(&old, directory));
	board_close(&old);
	board_close(&new);
}
END_TEST

static Suite *board_adopt_suite(void)
{
	Suite *suite = suite_create("board_adopt");
	TCase *all = tcase_create("adopt");

	tcase_set_timeout(all, 60);
	tcase_add_checked_fixture(all, create_board, remove_board);
	tcase_add_test(all, test_descriptors);
	tcase_add_test(all, test_adopt);
	tcase_add_test(all, test_the_adopted_mapping_is_not_a_workers);
	tcase_add_loop_test(all, test_a_hostile_header, 0, 2);
	tcase_add_test(all, test_slots_found_again);
	tcase_add_test(all, test_release);
	tcase_add_loop_test(all, test_another_layout, 0, 3);
	tcase_add_test(all, test_never_two_masters);
	tcase_add_test(all, test_verdicts_go_on);
	tcase_add_loop_test(all, test_verdicts_of_another, 0, 4);
	tcase_add_loop_test(all, test_cannot_be_adopted, 0, COUNT(harms));
	tcase_add_loop_test(all, test_the_head_of_any_version, 0, 3);
	tcase_add_loop_test(all, test_no_head, 0, 4);
	tcase_add_test(all, test_replaced);
	suite_add_tcase(suite, all);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(board_adopt_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
