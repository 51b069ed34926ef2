/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "master/crew.h"
#include "master/intent.h"
#include "master/left_over.h"
#include "master/notify.h"
#include "master/signals.h"
#include "master/strangers.h"
#include "master/transaction.h"
#include "master/upgrade.h"
#include "master/verdict.h"

#define STATUS_USEC UINT64_C(1000000)

uint64_t master_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint32_t master_random(struct master *m)
{
	/* A Weyl sequence with a mixer: for jitter only. */
	uint32_t x = m->random += UINT32_C(0x9e3779b9);

	x = (x ^ x >> 16) * UINT32_C(0x85ebca6b);
	return x ^ x >> 13;
}

/* ---- the step: everything that is due ---- */

static bool crew_is_done(const struct crew *crew)
{
	return crew->state == CREW_LEAVING && crew->worker_count == 0;
}

/* Counters go on when a pool is replaced: by service and address it is the same one. */
static bool record_is_shared(const struct master *m, const struct crew *crew)
{
	const struct transaction *t = m->transaction;
	unsigned users = 0;

	for (size_t i = 0; i < m->crew_count; i++)
		users += m->crews[i]->board == crew->board;
	for (size_t i = 0; t && i < t->crew_count; i++)
		users += t->crews[i]->board == crew->board;
	return users > 1;
}

/* A reload under way may take its listener over: until that is decided it stays. */
static bool is_compared_with(const struct master *m, const struct crew *crew)
{
	const struct transaction *t = m->transaction;

	for (size_t i = 0; t && i < t->old_count; i++)
		if (t->old[i].crew == crew)
			return true;
	return false;
}

static void remove_done(struct master *m)
{
	size_t i = 0;

	while (i < m->crew_count) {
		struct crew *crew = m->crews[i];

		if (!crew_is_done(crew) || is_compared_with(m, crew)) {
			i++;
			continue;
		}
		if (!record_is_shared(m, crew))
			board_pool_close(&m->board, crew->board);
		crew_free(crew);
		memmove(&m->crews[i], &m->crews[i + 1],
			(--m->crew_count - i) * sizeof(struct crew *));
	}
}

static void end_recycle(struct master *m, bool failed, const char *text)
{
	m->recycling = false;
	verdict_publish(m, VERDICT_RECYCLE, failed, text);
}

static void step_recycle(struct master *m)
{
	unsigned old = 0;

	for (size_t i = 0; m->recycling && i < m->crew_count; i++) {
		struct crew *crew = m->crews[i];

		if (crew->state != CREW_SERVING)
			continue;
		old += crew->counts.old;
		if (crew->counts.old == 0 || !crew_is_degraded(crew))
			continue;
		for (size_t j = 0; j < m->crew_count; j++)
			crew_recycle_undo(m->crews[j]);
		end_recycle(m, true,
			    "new workers die before their first connection; the old ones stay");
	}
	if (m->recycling && old == 0)
		end_recycle(m, false, "every worker was replaced");
}

static void step(struct master *m)
{
	uint64_t now = master_now(), next = POOL_NEVER, at;

	for (size_t i = 0; i < m->crew_count; i++) {
		crew_look(m->crews[i]);
		at = crew_step(m->crews[i], now);
		next = at < next ? at : next;
	}
	at = left_over_step(m, now);
	next = at < next ? at : next;
	at = transaction_step(m, now);
	next = at < next ? at : next;
	remove_done(m);
	step_recycle(m);
	upgrade_step(m);
	if (m->stopping && m->crew_count == 0)
		sd_event_exit(m->event, m->exit_code);
	if (next != POOL_NEVER)
		master_step_at(m, next);
}

static int on_step(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	step(userdata);
	return 0;
}

void master_step_at(struct master *m, uint64_t usec)
{
	uint64_t current;
	int enabled;

	if (sd_event_source_get_enabled(m->step_timer, &enabled) >= 0 && enabled != SD_EVENT_OFF &&
	    sd_event_source_get_time(m->step_timer, &current) >= 0 && current <= usec)
		return;
	sd_event_source_set_time(m->step_timer, usec);
	sd_event_source_set_enabled(m->step_timer, SD_EVENT_ONESHOT);
}

/* ---- what happens ---- */

static int on_wake(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	char waste[4096];

	(void)source;
	(void)events;
	(void)!read(fd, waste, sizeof(waste));
	/* At once: a timer would cost another turn of the loop. */
	step(userdata);
	return 0;
}

static int on_status(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct master *m = userdata;

	for (size_t i = 0; i < m->crew_count; i++)
		if (m->crews[i]->state == CREW_SERVING)
			crew_show_queue(m->crews[i]);
	notify_status(m);
	sd_event_source_set_time(source, usec + STATUS_USEC);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

/* A restart keeps the stored listeners for the next process: who waits there waits for that one. */
static void on_intent(struct master *m, enum intent intent)
{
	m->restarting = intent == INTENT_RESTART;
	for (size_t i = 0; i < m->crew_count; i++)
		crew_drain(m->crews[i]);
	master_step_at(m, 0);
}

/* A pool that leaves may share its listener with the one that replaced it. */
static unsigned count_stored(const struct master *m)
{
	unsigned count = 0;

	for (size_t i = 0; i < m->crew_count; i++) {
		const struct crew *crew = m->crews[i];

		for (size_t l = 0; crew->state == CREW_SERVING && l < crew->listener_count; l++)
			count += crew->listeners[l]->stored != NULL;
	}
	return count;
}

static void begin_stop(struct master *m)
{
	static const char why[] = "preforkd stops";
	unsigned stored;

	m->stopping = true;
	board_verdict_begin(&m->board, VERDICT_STOP);
	board_replace_begin(&m->board, VERDICT_STOP);
	for (size_t i = 0; i < m->crew_count; i++)
		crew_replaced_by(m->crews[i], VERDICT_STOP);
	board_set_state(&m->board, MASTER_STOPPING);
	notify_stopping(m);
	if (m->transaction)
		transaction_abort(m, EX_TEMPFAIL, why);
	if (m->recycling || m->recycle_again)
		end_recycle(m, true, why);
	upgrade_abort(m, why);
	stored = count_stored(m);
	if (stored > 0)
		intent_ask(m, stored, on_intent);
	else
		on_intent(m, INTENT_UNKNOWN);
}

void master_stop(struct master *m, const char *reason)
{
	log_event(LOG_LEVEL_NOTICE, MESSAGE_stopping, NULL, "%s: %s", reason,
		  m->stopping ? "stopping at once" : "stopping");
	if (!m->stopping) {
		begin_stop(m);
		return;
	}
	for (size_t i = 0; i < m->crew_count; i++)
		crew_kill(m->crews[i]);
	master_step_at(m, 0);
}

int master_add_sources(struct master *m)
{
	sd_event_source *source;
	int r = sd_event_add_time(m->event, &m->step_timer, CLOCK_MONOTONIC, 0, 1, on_step, m);

	if (r >= 0)
		r = sd_event_add_io(m->event, &source, m->wake[0], EPOLLIN, on_wake, m);
	if (r >= 0)
		r = signals_add(m);
	if (r >= 0)
		r = strangers_add(m);
	if (r >= 0)
		r = notify_open(m);
	if (r >= 0)
		r = sd_event_add_time_relative(m->event, &source, CLOCK_MONOTONIC, STATUS_USEC,
					       100000, on_status, m);
	return r;
}
