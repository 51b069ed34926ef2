/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
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
	struct board_reader reader;
	int master;     /* pidfd */
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

static bool read_decision(struct waiting *waiting)
{
	board_read_verdict(&waiting->reader, waiting->order->kind, &waiting->verdict);
	return is_after(waiting->verdict.finished, waiting->begun);
}

/* One look, after at most LOOK_EVERY_MSEC. The end of the master is noticed before the verdict is
 * read, so that a last verdict is never missed. */
static enum outcome look(struct waiting *waiting)
{
	struct pollfd master = {.fd = waiting->master, .events = POLLIN};
	bool gone = poll(&master, 1, LOOK_EVERY_MSEC) > 0;
	bool decided = read_decision(waiting);

	if (decided && (gone || !waiting->order->ends))
		return DECIDED;
	if (gone)
		return GONE;
	return ctl_now(CLOCK_MONOTONIC) < waiting->deadline_usec ? WAITING : TIMED_OUT;
}

static int show(const struct waiting *waiting, bool json, struct error *err)
{
	const struct verdict_view *verdict = &waiting->verdict;
	struct instance_view instance;
	char ledger[CTL_LEDGER_MAX];

	board_read_instance(&waiting->reader, &instance);
	if (json) {
		if (json_verdict(waiting->order->verb, verdict,
				 waiting->order->ends ? instance.connections : NULL, err) < 0)
			return -1;
	} else {
		FILE *to = verdict->failed ? stderr : stdout;
		fprintf(to, "preforkctl: %s\n", verdict->text);
		if (waiting->order->ends)
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

int order_run(const struct order *order, const struct ctl *ctl, struct error *err)
{
	struct waiting waiting = {.order = order};
	int result;

	if (ctl_board_open(ctl, &waiting.reader, err) < 0)
		return -1;
	waiting.master = board_master_pidfd(&waiting.reader, err);
	if (waiting.master >= 0) {
		result = signal_and_wait(&waiting, ctl, err);
	} else {
		result = -1;
		if (err->code == EX_UNAVAILABLE)
			error_set(err, CTL_EXIT_NOT_RUNNING, "not running: %s", err->text);
	}
	fd_close(&waiting.master);
	board_close(&waiting.reader);
	return result;
}
