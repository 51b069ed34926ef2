/* SPDX-License-Identifier: ISC */
/* A board in a directory of its own, for each test. */
#ifndef TEST_BOARD_H
#define TEST_BOARD_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "board/board.h"
#include "board/read.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(*(array))))

static struct board board;
static char top[] = "/tmp/test_board.XXXXXX";
static char directory[64];

static inline void make_directory(void)
{
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(directory, sizeof(directory), "%s/run", top);
	board = (struct board){.master_fd = -1, .workers_fd = -1, .readonly_fd = -1};
}

static inline void create_board(void)
{
	struct error err = {0};

	make_directory();
	ck_assert_msg(board_create(&board, directory, "test", &err) == 0, "%s", err.text);
}

static inline void remove_board(void)
{
	char command[128];

	board_remove(&board);
	snprintf(command, sizeof(command), "rm -r %s", top);
	ck_assert_int_eq(system(command), 0);
	snprintf(top, sizeof(top), "/tmp/test_board.XXXXXX");
}

static inline char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

static inline void open_reader(struct board_reader *reader)
{
	struct error err = {0};

	ck_assert_msg(board_open(reader, directory, &err) == 0, "%s", err.text);
}

/* A lock shows to other processes only. Returns what work() returned, in a child. */
static inline int in_child(int (*work)(void))
{
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(work());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status), "signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

#endif
