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
#include "ctl/order.h"
#include "view/json.h"

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
 * The head is enough, and a daemon of another version has the same; only what became of connections
 * is on the rest of the board.
 */
static int open_board(const char *directory, struct board_reader *reader, struct error *err)
{
	if (board_open(reader, directory, err) == 0)
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

	if (open_board(waiting->directory, &next, NULL) < 0)
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

/* What this board has beside the verdict. */
struct extras {
	bool totals, replaced;
	struct instance_view instance;
	struct ledgers_view ledgers;
};

static void read_extras(const struct waiting *waiting, struct extras *extras)
{
	const struct verdict_view *verdict = &waiting->verdict;
	enum verdict_kind kind = waiting->order->kind;

	extras->totals = waiting->order->ends && waiting->reader.master;
	extras->replaced = false;
	if (extras->totals)
		board_read_instance(&waiting->reader, &extras->instance);
	if (!waiting->reader.master || verdict->failed)
		return;
	board_read_ledgers(&waiting->reader, &extras->ledgers);
	extras->replaced =
		verdict->finished && extras->ledgers.replaced[kind].number == verdict->finished;
}

static void print_result(const struct waiting *waiting, const struct extras *extras)
{
	const struct verdict_view *verdict = &waiting->verdict;
	const struct ledger_view *replaced = &extras->ledgers.replaced[waiting->order->kind];
	FILE *to = verdict->failed ? stderr : stdout;
	char text[CTL_LEDGER_MAX], brief[CTL_BRIEF_MAX];

	fprintf(to, "preforkctl: %s\n", verdict->text);
	if (extras->totals)
		fprintf(to, "preforkctl: %s\n", ctl_ledger(text, extras->instance.connections));
	if (extras->replaced && (replaced->connections[CONN_accepted] || replaced->queued_at_close))
		fprintf(to, "preforkctl: %s had %s\n",
			waiting->order->ends ? "meanwhile its workers" : "the workers of before",
			ctl_brief(brief, replaced));
}

static int show(const struct waiting *waiting, bool json, struct error *err)
{
	const struct verdict_view *verdict = &waiting->verdict;
	struct extras extras;

	read_extras(waiting, &extras);
	if (!json)
		print_result(waiting, &extras);
	else if (view_json_verdict(stdout, waiting->order->verb, verdict,
				   extras.totals ? extras.instance.connections : NULL,
				   extras.replaced ? &extras.ledgers.replaced[waiting->order->kind]
						   : NULL,
				   err) < 0)
		return -1;
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
		if (open_board(waiting->directory, &waiting->reader, err) < 0)
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
