/* SPDX-License-Identifier: ISC */
/* The files of the board: their layout, and who may make them. */
#include <config.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "test_board.h"

/* ---- fields ---- */

static void check_fields(const struct field_info *fields, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *name = fields[i].name;

		ck_assert_uint_gt(strlen(name), 0);
		ck_assert_uint_eq(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name));
		ck_assert_uint_gt(strlen(fields[i].unit), 0);
		ck_assert_uint_gt(strlen(fields[i].help), 0);
		ck_assert(fields[i].help[strlen(fields[i].help) - 1] == '.');
		ck_assert(fields[i].type == FIELD_COUNTER || fields[i].type == FIELD_GAUGE);
		for (size_t j = 0; j < i; j++)
			ck_assert_str_ne(name, fields[j].name);
	}
}

START_TEST(test_fields)
{
	check_fields(connection_fields, CONNECTION_FIELDS);
	check_fields(pool_fields, POOL_FIELDS);
	check_fields(instance_fields, INSTANCE_FIELDS);
	ck_assert_str_eq(connection_fields[CONN_accepted].name, "accepted");
	ck_assert_str_eq(connection_fields[CONN_aborted_death].name, "aborted_death");
	ck_assert_str_eq(pool_fields[POOL_backoff_usec].name, "backoff_usec");
	ck_assert_str_eq(instance_fields[INSTANCE_generation].name, "generation");
	for (int i = 0; i < SLOT_STATES; i++)
		ck_assert_uint_gt(strlen(slot_state_names[i]), 0);
	for (int i = 0; i < MASTER_STATES; i++)
		ck_assert_uint_gt(strlen(master_state_names[i]), 0);
}
END_TEST

START_TEST(test_layout_hash)
{
	ck_assert_uint_ne(board_layout_hash(), 0);
	ck_assert_uint_eq(board_layout_hash(), board_layout_hash());
	ck_assert_uint_eq(board.master->head.header.layout, board_layout_hash());
	ck_assert_uint_eq(board.workers->header.layout, board_layout_hash());
}
END_TEST

static bool is_an_ending(const char *name)
{
	static const char *const others[] = {"accepted",         "busy_usec",       "accept_errors",
					     "program_failures", "program_signals", "log_lost"};

	for (int i = 0; i < COUNT(others); i++)
		if (strcmp(name, others[i]) == 0)
			return false;
	return true;
}

/* Every way for a connection to end takes one from those that are open. */
START_TEST(test_open_connections)
{
	uint64_t values[CONNECTION_FIELDS] = {0};
	uint64_t open = 100;

	values[CONN_accepted] = open;
	for (size_t f = 0; f < CONNECTION_FIELDS; f++) {
		if (f == CONN_accepted)
			continue;
		values[f] += f + 1;
		if (is_an_ending(connection_fields[f].name))
			open -= f + 1;
		ck_assert_uint_eq(board_open_connections(values), open);
	}
}
END_TEST

/* ---- made ---- */

START_TEST(test_files)
{
	static const struct {
		const char *name;
		size_t size;
	} files[] = {{"master", sizeof(struct master_file)}, {"board", sizeof(struct board_file)}};
	struct stat st;

	for (int i = 0; i < COUNT(files); i++) {
		ck_assert_int_eq(lstat(path_of(files[i].name), &st), 0);
		ck_assert(S_ISREG(st.st_mode));
		ck_assert_uint_eq(st.st_mode & 07777, 0644);
		ck_assert_uint_eq((size_t)st.st_size, files[i].size);
	}
	board_remove(&board);
	ck_assert_int_lt(lstat(path_of("master"), &st), 0);
	ck_assert_int_lt(lstat(path_of("board"), &st), 0);
	board_remove(&board); /* nothing more to do */
}
END_TEST

/* The code with which a child fails to make another board here; 0 when it can. */
static int create_another(void)
{
	struct board another;
	struct error err = {0};
	char pid[32];

	if (board_create(&another, directory, "another", &err) == 0) {
		board_remove(&another);
		return 0;
	}
	snprintf(pid, sizeof(pid), "(pid %d)", (int)getppid());
	return strstr(err.text, pid) ? err.code : 1;
}

START_TEST(test_one_master_at_a_time)
{
	struct stat before, after;

	ck_assert_int_eq(stat(path_of("master"), &before), 0);
	ck_assert_int_eq(in_child(create_another), EX_UNAVAILABLE);
	ck_assert_int_eq(stat(path_of("master"), &after), 0);
	ck_assert(before.st_ino == after.st_ino);
	ck_assert_str_eq(board.master->instance, "test");
	board_remove(&board);
	ck_assert_int_eq(in_child(create_another), 0);
}
END_TEST

/* Leaves its files behind, as a crash does. */
static int create_and_die(void)
{
	struct board another;
	struct error err;

	return board_create(&another, directory, "dead", &err) == 0 ? 42 : 1;
}

static int is_alive(void)
{
	struct board_reader reader;

	open_reader(&reader);
	return board_master_lives(&reader);
}

START_TEST(test_after_a_crash)
{
	struct board_reader reader;
	struct instance_view view;
	struct error err = {0};

	board_remove(&board);
	ck_assert_int_eq(in_child(create_and_die), 42);
	ck_assert_int_eq(in_child(is_alive), 0);
	open_reader(&reader);
	board_read_instance(&reader, &view);
	ck_assert_int_eq(view.state, MASTER_GONE);
	ck_assert_int_lt(board_master_pidfd(&reader, &err), 0);
	ck_assert_int_eq(err.code, EX_UNAVAILABLE);
	ck_assert_int_eq(board_create(&board, directory, "test", &err), 0);
	ck_assert_int_eq(in_child(is_alive), 1);
	/* Who has the old one mapped still reads the old one. */
	board_read_instance(&reader, &view);
	ck_assert_str_eq(view.instance, "dead");
	board_close(&reader);
}
END_TEST

/* 1 when it has the lock; says that it tried, and keeps the lock until all have. */
static int tried[2], go[2];

static int race(void)
{
	static struct board another; /* static: who keeps the lock keeps its memory too */
	struct error err;
	char byte = 0;
	int won = board_create(&another, directory, "racer", &err) == 0;

	close(go[1]);
	(void)!write(tried[1], &byte, 1);
	(void)!read(go[0], &byte, 1);
	return won;
}

START_TEST(test_many_at_once)
{
	pid_t pids[16];
	int winners = 0, status;
	char byte;

	board_remove(&board);
	ck_assert_int_eq(pipe(tried), 0);
	ck_assert_int_eq(pipe(go), 0);
	for (int i = 0; i < COUNT(pids); i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			_exit(race());
	}
	for (int i = 0; i < COUNT(pids); i++)
		ck_assert_int_eq(read(tried[0], &byte, 1), 1);
	close(go[1]);
	for (int i = 0; i < COUNT(pids); i++) {
		ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
		winners += WEXITSTATUS(status);
	}
	ck_assert_int_eq(winners, 1);
}
END_TEST

START_TEST(test_the_masters_mapping_is_not_a_workers)
{
	pid_t pid = fork();
	void *mapping;
	int status;

	/* A child that touches it is killed: there is nothing. */
	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		board.master->head.pid = 1;
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	ck_assert_int_eq(fcntl(board.readonly_fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	mapping = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, board.readonly_fd, 0);
	ck_assert_ptr_eq(mapping, MAP_FAILED);
}
END_TEST

/* ---- where it cannot be made ---- */

START_TEST(test_symbolic_links)
{
	struct error err = {0};
	char target[128];
	struct stat st;

	board_remove(&board);
	snprintf(target, sizeof(target), "%s/target", top);
	ck_assert_int_eq(symlink(target, path_of("master")), 0);
	ck_assert_int_lt(board_create(&board, directory, "test", &err), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "/master: "));
	ck_assert_int_lt(lstat(target, &st), 0);
	/* The others are replaced, not followed. */
	ck_assert_int_eq(unlink(path_of("master")), 0);
	ck_assert_int_eq(symlink(target, path_of("board")), 0);
	ck_assert_int_eq(symlink(target, path_of("board.new")), 0);
	ck_assert_int_eq(symlink(target, path_of("master.new")), 0);
	ck_assert_int_eq(board_create(&board, directory, "test", &err), 0);
	ck_assert_int_lt(lstat(target, &st), 0);
	ck_assert_int_eq(lstat(path_of("board"), &st), 0);
	ck_assert(S_ISREG(st.st_mode));
}
END_TEST

START_TEST(test_bad_directories)
{
	static char long_path[8192];
	struct board another;
	struct error err = {0};

	ck_assert_int_lt(board_create(&another, path_of("board"), "x", &err), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "Not a directory"));
	ck_assert_int_lt(board_create(&another, path_of("board/deeper"), "x", &err), 0);
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[0] = '/';
	ck_assert_int_lt(board_create(&another, long_path, "x", &err), 0);
}
END_TEST

START_TEST(test_default_directory)
{
	char path[128], name[200];
	struct error err = {0};

	setenv("XDG_RUNTIME_DIR", "/somewhere", 1);
	ck_assert_int_eq(board_default_directory("x", path, sizeof(path), &err), 0);
	ck_assert_str_eq(path, geteuid() ? "/somewhere/preforkd/x" : RUNTIMEDIR "/x");
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	ck_assert_int_lt(board_default_directory(name, path, sizeof(path), &err), 0);
	ck_assert_int_eq(err.code, EX_USAGE);
}
END_TEST

static Suite *board_files_suite(void)
{
	Suite *suite = suite_create("board_files");
	TCase *files = tcase_create("files");

	tcase_set_timeout(files, 60);
	tcase_add_checked_fixture(files, create_board, remove_board);
	tcase_add_test(files, test_fields);
	tcase_add_test(files, test_layout_hash);
	tcase_add_test(files, test_open_connections);
	tcase_add_test(files, test_files);
	tcase_add_test(files, test_one_master_at_a_time);
	tcase_add_test(files, test_after_a_crash);
	tcase_add_test(files, test_many_at_once);
	tcase_add_test(files, test_the_masters_mapping_is_not_a_workers);
	tcase_add_test(files, test_symbolic_links);
	tcase_add_test(files, test_bad_directories);
	tcase_add_test(files, test_default_directory);
	suite_add_tcase(suite, files);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(board_files_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
