/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>

#include "base/log.h"
#include "master/crew.h"
#include "master/left_over.h"
#include "master/signals.h"
#include "master/transaction.h"
#include "master/upgrade.h"
#include "master/verdict.h"

static void on_stop(struct master *m, int signal)
{
	char reason[32];

	snprintf(reason, sizeof(reason), "SIG%s", sigabbrev_np(signal));
	master_stop(m, reason);
}

static void on_reload(struct master *m, int signal)
{
	(void)signal;
	if (!m->stopping)
		transaction_begin_reload(m);
}

static const char *why_no_recycle(const struct master *m)
{
	if (m->generation == 0)
		return "preforkd still starts";
	return left_over_is(m) ? "the upgrade has not loaded its configuration; reload first"
			       : NULL;
}

static void recycle(struct master *m)
{
	const char *refusal = why_no_recycle(m);

	if (refusal) {
		verdict_publish(m, VERDICT_RECYCLE, true, refusal);
		return;
	}
	m->recycling = true;
	for (size_t i = 0; i < m->crew_count; i++)
		if (m->crews[i]->state == CREW_SERVING)
			crew_recycle(m->crews[i]);
	master_step_at(m, 0);
}

static void on_recycle(struct master *m, int signal)
{
	(void)signal;
	if (m->stopping)
		return;
	/* One that comes during another begins anew: what was young is old now. */
	board_verdict_begin(&m->board, VERDICT_RECYCLE);
	board_add(&m->board, INSTANCE_recycles, 1);
	/* The workers of before are not ours to replace, and those to come started too early. */
	if (m->transaction && m->transaction->kind == TRANSACTION_UPGRADE)
		m->recycle_again = true;
	else
		recycle(m);
}

void signals_resume_recycle(struct master *m)
{
	if (!m->recycle_again)
		return;
	m->recycle_again = false;
	recycle(m);
}

static void on_upgrade(struct master *m, int signal)
{
	(void)signal;
	upgrade_ask(m);
}

static void ignore(struct master *m, int signal)
{
	(void)m;
	(void)signal;
}

static const struct {
	int signal;
	void (*action)(struct master *m, int signal);
} table[] = {
	{SIGTERM, on_stop},    {SIGINT, on_stop},     {SIGQUIT, on_stop}, {SIGHUP, on_reload},
	{SIGUSR1, on_recycle}, {SIGUSR2, on_upgrade}, {SIGWINCH, ignore}, {SIGPIPE, ignore},
};
#define TABLE_SIZE (sizeof(table) / sizeof(table[0]))

void signals_block(void)
{
	/* Whoever ignored SIGCHLD before us would have the kernel reap our children. */
	const struct sigaction normal = {.sa_handler = SIG_DFL};
	sigset_t set;

	sigaction(SIGCHLD, &normal, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < TABLE_SIZE; i++)
		sigaddset(&set, table[i].signal);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	(void)source;
	for (size_t i = 0; i < TABLE_SIZE; i++)
		if (table[i].signal == (int)info->ssi_signo)
			table[i].action(userdata, table[i].signal);
	return 0;
}

int signals_add(struct master *m)
{
	for (size_t i = 0; i < TABLE_SIZE; i++) {
		int r = sd_event_add_signal(m->event, NULL, table[i].signal, on_signal, m);

		if (r < 0)
			return r;
	}
	return 0;
}
