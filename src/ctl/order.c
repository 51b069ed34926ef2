/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl/json.h"
#include "ctl/order.h"

/* The board wakes nobody: its readers look again and again. */
#define LOOK_EVERY_MSEC 10

enum outcome { WAITING, DECIDED, GONE, TIMED_OUT };

struct waiting {
	const struct order *order;
	char directory[PATH_MAX];
	struct board_reader reader; /* perhaps of the head alone */
	int master;                 /* pidfd */
	uint32_t begun; /* before the signal; what is decided about it has a higher number */
	uint64_t deadline_usec;
	struct verdict_view verdict;
};

/* Numbers wrap around. */
static bool is_after(uint32_t number, uint32_t other)
{
	return (int32_t)(number - other) > 0;
}

static int send_signal(const struct waiting *waiting, struct error *err)
{
	int number = waiting->order->signal;

	if (syscall(SYS_pidfd_send_signal, waiting->master, number, NULL, 0) == 0)
		return 0;
	if (errno == ESRCH)
		return error_set(err, CTL_EXIT_NOT_RUNNING, "not running");
	return error_set(err, errno == EPERM ? EX_NOPERM : EX_OSERR, "the master: SIG%s: %s",
			 sigabbrev_np(number), strerror(errno));
}

/*
 * The head is enough, and a daemon of another version has the same; only the totals that stop shows
 * are on the rest of the board.
 */
static int open_board(const struct order *order, const char *directory, struct board_reader *reader,
		      struct error *err)
{
	if (order->ends && board_open(reader, directory, err) == 0)
		return 0;
	return board_open_head(reader, directory, err);
}

static bool read_decision(struct waiting *waiting)
{
	board_read_verdict(&waiting->reader, waiting->order->kind, &waiting->verdict);
	return is_after(waiting->verdict.finished, waiting->begun);
}

/*
 * An upgrade to another layout puts a new board in the place of the one that is mapped, and goes on
 * there. Only that of the same master: another one's tells nothing of this one.
 */
static void follow_board(struct waiting *waiting)
{
	struct board_reader next;

	if (open_board(waiting->order, waiting->directory, &next, NULL) < 0)
		return;
	if (board_same_master(&next, &waiting->reader)) {
		board_close(&waiting->reader);
		waiting->reader = next;
	} else {
		board_close(&next);
	}
}

/* The last word of the old board comes before the first of a new one. */
static bool look_for_decision(struct waiting *waiting)
{
	bool replaced = board_replaced(&waiting->reader, waiting->directory);

	if (read_decision(waiting))
		return true;
	if (!replaced)
		return false;
	follow_board(waiting);
	return read_decision(waiting);
}

/* One look, after at most LOOK_EVERY_MSEC. The end of the master is noticed before the verdict is
 * read, so that a last verdict is never missed. */
static enum outcome look(struct waiting *waiting)
{
	struct pollfd master = {.fd = waiting->master, .events = POLLIN};
	bool gone = poll(&master, 1, LOOK_EVERY_MSEC) > 0;
	bool decided = look_for_decision(waiting);

	if (decided && (gone || !waiting->order->ends))
		return DECIDED;
	if (gone)
		return GONE;
	return ctl_now(CLOCK_MONOTONIC) < waiting->deadline_usec ? WAITING : TIMED_OUT;
}

static int show(const struct waiting *waiting, bool json, struct error *err)
{
	const struct verdict_view *verdict = &waiting->verdict;
	bool totals = waiting->order->ends && waiting->reader.master;
	struct instance_view instance;
	char ledger[CTL_LEDGER_MAX];

	if (totals)
		board_read_instance(&waiting->reader, &instance);
	if (json) {
		if (json_verdict(waiting->order->verb, verdict,
				 totals ? instance.connections : NULL, err) < 0)
			return -1;
	} else {
		FILE *to = verdict->failed ? stderr : stdout;
		fprintf(to, "preforkctl: %s\n", verdict->text);
		if (totals)
			fprintf(to, "preforkctl: %s\n", ctl_ledger(ledger, instance.connections));
	}
	return verdict->failed ? CTL_EXIT_FAILED : 0;
}

static int wait_for_verdict(struct waiting *waiting, const struct ctl *ctl, struct error *err)
{
	enum outcome outcome = WAITING;
	char timeout[PARSE_TEXT_MAX];

	waiting->deadline_usec = UINT64_MAX;
	if (ctl->timeout_usec)
		waiting->deadline_usec = ctl_now(CLOCK_MONOTONIC) + ctl->timeout_usec;
	while (outcome == WAITING)
		outcome = look(waiting);
	if (outcome == DECIDED)
		return show(waiting, ctl->json, err);
	if (outcome == TIMED_OUT)
		return error_set(err, EX_TEMPFAIL, "%s: no result within %s", waiting->order->verb,
				 format_duration(timeout, ctl->timeout_usec));
	if (waiting->order->ends)
		return error_set(err, CTL_EXIT_FAILED, "the master ended without a result");
	return error_set(err, CTL_EXIT_NOT_RUNNING, "%s: the master ended before it had a result",
			 waiting->order->verb);
}

static int signal_and_wait(struct waiting *waiting, const struct ctl *ctl, struct error *err)
{
	read_decision(waiting);
	waiting->begun = waiting->verdict.begun;
	if (send_signal(waiting, err) < 0)
		return -1;
	return ctl->no_wait ? 0 : wait_for_verdict(waiting, ctl, err);
}

/* The board and its master. Again when an upgrade has just put a new board in the place of the one
 * that was opened: nobody holds the old one's lock. */
static int find_master(struct waiting *waiting, struct error *err)
{
	for (;;) {
		if (open_board(waiting->order, waiting->directory, &waiting->reader, err) < 0)
			return -1;
		waiting->master = board_master_pidfd(&waiting->reader, err);
		if (waiting->master >= 0)
			return 0;
		bool replaced = board_replaced(&waiting->reader, waiting->directory);
		board_close(&waiting->reader);
		if (!replaced)
			return -1;
	}
}

int order_run(const struct order *order, const struct ctl *ctl, struct error *err)
{
	struct waiting waiting = {.order = order};
	int result;

	if (ctl_directory(ctl, waiting.directory, sizeof(waiting.directory), err) < 0)
		return -1;
	if (find_master(&waiting, err) < 0)
		return ctl_not_running(err);
	result = signal_and_wait(&waiting, ctl, err);
	fd_close(&waiting.master);
	board_close(&waiting.reader);
	return result;
}
