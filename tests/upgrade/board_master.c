/* SPDX-License-Identifier: ISC */
/*
 * A master that keeps a board and upgrades, and nothing else: what preforkctl meets while the board
 * is handed over, without the rest of a daemon.
 *
 *	board-master DIRECTORY [refuse | mute | die | PROGRAM]...
 *
 * What each upgrade comes to: a refusal, no result at all, the master's end, or the execution of
 * PROGRAM in place, which goes on with what is left.
 */
#include <config.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "board/board.h"

#define HANDED_OVER "handed-over"
#define ARGUMENTS   250

struct self {
	struct board board;
	const char *directory;
	char **plan; /* ended by a NULL */
};

_Noreturn static void fail(const struct error *err)
{
	fprintf(stderr, "board-master: %s\n", err->text);
	exit(1);
}

/* ---- the old image ---- */

static void execute(struct self *self)
{
	struct board *board = &self->board;
	const int fds[] = {board->master_fd, board->workers_fd, board->readonly_fd};
	char numbers[3][16];
	char *argv[ARGUMENTS + 1] = {self->plan[0], (char *)(uintptr_t)self->directory,
				     (char *)(uintptr_t)HANDED_OVER};
	size_t count = 3;
	struct error err;

	for (int i = 0; i < 3; i++) {
		snprintf(numbers[i], sizeof(numbers[i]), "%d", fds[i]);
		argv[count++] = numbers[i];
	}
	for (char **p = self->plan + 1; *p && count < ARGUMENTS; p++)
		argv[count++] = *p;
	if (board_set_inheritable(board, true, &err) < 0)
		fail(&err);
	execv(argv[0], argv);
	if (board_set_inheritable(board, false, &err) < 0)
		fail(&err);
	board_verdict_finish(board, VERDICT_UPGRADE, 1, "cannot be executed");
}

static void upgrade(struct self *self)
{
	const char *what = *self->plan ? *self->plan : "refuse";

	board_verdict_begin(&self->board, VERDICT_UPGRADE);
	if (strcmp(what, "die") == 0)
		_exit(0);
	if (strcmp(what, "refuse") == 0)
		board_verdict_finish(&self->board, VERDICT_UPGRADE, 1, "refused, as planned");
	else if (strcmp(what, "mute") != 0)
		execute(self);
	if (*self->plan)
		self->plan++;
}

/* ---- the new image ---- */

/* Something to find again. */
static void write_something(struct board *board)
{
	int pool = board_pool_open(board, "a", "tcp://127.0.0.1:7", "echo");
	int slot = board_slot_take(board, pool, 7);
	board_u64 *values = board->workers->slots[slot].values;

	board_set(board, INSTANCE_generation, 7);
	board_slot_set_pid(board, slot, (uint32_t)getpid());
	atomic_store(&values[CONN_accepted], 3);
	atomic_store(&values[CONN_finished], 3);
}

static void take_over(struct self *self, char *const *descriptors)
{
	struct board *board = &self->board;
	struct error err;
	int adopted, fds[3];

	for (int i = 0; i < 3; i++)
		fds[i] = (int)strtol(descriptors[i], NULL, 10);
	adopted = board_adopt(board, self->directory, fds[0], fds[1], fds[2], &err);
	if (adopted < 0)
		fail(&err);
	if (adopted == 0) {
		if (board_create(board, self->directory, "test", &err) < 0)
			fail(&err);
		for (int i = 0; i < 3; i++)
			close(fds[i]);
	}
	board_set_state(board, MASTER_RUNNING);
	board_verdict_finish(board, VERDICT_UPGRADE, 0,
			     adopted ? "upgraded" : "upgraded; a new board");
}

static void start(struct self *self)
{
	struct error err;

	if (board_create(&self->board, self->directory, "test", &err) < 0)
		fail(&err);
	write_something(&self->board);
	board_set_state(&self->board, MASTER_RUNNING);
	puts("ready");
	fflush(stdout);
}

/* ---- the loop ---- */

static void obey(struct self *self)
{
	sigset_t signals;
	int number;

	sigemptyset(&signals);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGUSR2);
	sigaddset(&signals, SIGTERM);
	for (;;) {
		if (sigwait(&signals, &number) != 0 || number == SIGTERM)
			return;
		if (number == SIGUSR2) {
			upgrade(self);
		} else {
			board_verdict_begin(&self->board, VERDICT_RELOAD);
			board_verdict_finish(&self->board, VERDICT_RELOAD, 0, "reloaded");
		}
	}
}

int main(int argc, char **argv)
{
	static struct self self;
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	if (argc < 2)
		return 2;
	self.directory = argv[1];
	self.plan = argv + 2;
	if (argc >= 6 && strcmp(argv[2], HANDED_OVER) == 0) {
		self.plan = argv + 6;
		take_over(&self, argv + 3);
	} else {
		start(&self);
	}
	obey(&self);
	board_verdict_begin(&self.board, VERDICT_STOP);
	board_verdict_finish(&self.board, VERDICT_STOP, 0, "stopped");
	board_remove(&self.board);
	return 0;
}
