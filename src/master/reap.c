/* SPDX-License-Identifier: ISC */
/* What becomes of a worker that ended: its cause, its counters, its pool's health. */
#include <config.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "master/copy.h"
#include "master/crew.h"

/* Workers that left in a row, unasked and without a client, before that is a failure. */
#define EMPTY_EXITS_MOST 20

struct log_about crew_about(const struct crew *crew, const struct worker *worker)
{
	return (struct log_about){
		.service = crew->service->name,
		.address = crew->address,
		.worker = worker ? worker->pid : 0,
	};
}

/* A full pool may fail again the next moment: it is healthy when it stays full for as long as it
 * had paused. */
static void tell_healthy(struct crew *crew)
{
	const struct log_about about = crew_about(crew, NULL);

	crew->degraded_said = false;
	log_event(LOG_LEVEL_NOTICE, MESSAGE_pool_healthy, &about,
		  "service \"%s\" [%s]: healthy again, %u worker%s ready", crew->service->name,
		  crew->address, crew->counts.ready, crew->counts.ready == 1 ? "" : "s");
}

static void tell_degraded(struct crew *crew)
{
	const struct log_about about = crew_about(crew, NULL);
	const struct pool_health *health = &crew->health;

	crew->degraded_said = true;
	log_event(LOG_LEVEL_WARNING, MESSAGE_pool_degraded, &about,
		  "service \"%s\" [%s]: degraded: the next worker is tried in %llu ms, then with "
		  "growing pauses",
		  crew->service->name, crew->address,
		  (unsigned long long)(health->retry - health->last_failure) / 1000);
}

uint64_t crew_tell_health(struct crew *crew, uint64_t now)
{
	const struct pool_health *health = &crew->health;
	uint64_t pause = health->retry - health->last_failure, calm;

	/* A copy is not to be counted on before. */
	if (crew_is_acceptor(crew) && pause < COPY_ALIVE_USEC)
		pause = COPY_ALIVE_USEC;
	calm = health->retry + pause;
	/* What an upgrade left over has no next worker. */
	if (crew->state != CREW_SERVING || crew->adopted)
		return POOL_NEVER;
	if (crew_is_degraded(crew) && !crew->degraded_said)
		tell_degraded(crew);
	if (!crew->degraded_said || !crew_is_complete(crew))
		return POOL_NEVER;
	if (health->failures > 0 && now < calm)
		return calm;
	tell_healthy(crew);
	return POOL_NEVER;
}

static void describe(const siginfo_t *info, char *text, size_t room)
{
	if (info->si_code == CLD_EXITED)
		snprintf(text, room, "exited with status %d", info->si_status);
	else if (!sigabbrev_np(info->si_status))
		snprintf(text, room, "killed by signal %d", info->si_status);
	else
		snprintf(text, room, "killed by SIG%s%s", sigabbrev_np(info->si_status),
			 info->si_code == CLD_DUMPED ? " (core dumped)"
			 : info->si_status == SIGKILL
				 ? " (by the kernel for want of memory, or by hand)"
				 : "");
}

struct death {
	const siginfo_t *info;
	bool left;     /* with status 0 */
	bool expected; /* it was told to, or may */
	bool served;   /* it had done some good before */
	int open;      /* clients it had; -1: its counters made no sense */
};

/* A copy that was told to leave may end in its own way, but not by a crash. */
static bool is_normal(const struct worker *w, const struct death *d)
{
	if (!w->copy)
		return d->left && w->ready && !d->open;
	return w->leaving && !w->killed &&
	       (d->info->si_code == CLD_EXITED ||
		d->info->si_status == (int)w->crew->service->stop_signal);
}

/* Some programs end now and then, to begin afresh. */
static bool is_usual(const struct worker *w, const struct death *d)
{
	return w->copy && d->left && d->served && !w->killed;
}

static void log_death(const struct worker *w, const struct death *d)
{
	struct crew *crew = w->crew;
	const struct log_about about = crew_about(crew, w);
	bool undone = w->killed && crew->gate >= 0;
	bool normal = undone || is_normal(w, d);
	char *cause = crew->last_death;
	size_t room = sizeof(crew->last_death);

	if (undone)
		snprintf(cause, room, "ended with the load it was started for");
	else if (w->late)
		snprintf(cause, room, "killed: its client stayed after its connection_timeout");
	else if (w->killed)
		snprintf(cause, room, "killed after stop_timeout or by a second stop");
	else
		describe(d->info, cause, room);
	log_event(normal           ? LOG_LEVEL_DEBUG
		  : is_usual(w, d) ? LOG_LEVEL_NOTICE
				   : LOG_LEVEL_WARNING,
		  normal ? MESSAGE_none : MESSAGE_worker_died, &about,
		  "service \"%s\" [%s]: worker %d %s%s%s%s", crew->service->name, crew->address,
		  (int)w->pid, cause, d->open > 0 ? " while it served a client" : "",
		  w->ready ? "" : " before it was ready",
		  d->open < 0 ? "; its counters made no sense and are dropped" : "");
}

void worker_forget(struct worker *w)
{
	struct crew *crew = w->crew;

	/* A copy has no counters that would be of interest before. */
	if (w->copy)
		board_slot_fold(&crew->master->board, w->slot);
	--*worker_count_of(w);
	crew->unready -= !w->ready;
	crew->master->worker_count--;
	crew->workers[w->index] = crew->workers[--crew->worker_count];
	crew->workers[w->index]->index = w->index;
	sd_event_source_disable_unref(w->child);
	copy_free(w->copy);
	free(w);
}

/* Of copies nobody knows what they served: one that lived long enough did. */
static struct death judge(struct worker *w, const siginfo_t *info, uint64_t now)
{
	struct crew *crew = w->crew;
	uint64_t accepted = board_slot_accepted(&crew->master->board, w->slot);
	struct death d = {.info = info,
			  .left = info->si_code == CLD_EXITED && info->si_status == 0,
			  .expected = w->leaving || w->killed,
			  .served = accepted > 0};

	if (w->copy) {
		d.served = w->ready && now - w->forked_usec >= COPY_ALIVE_USEC;
		return d;
	}
	d.expected = d.expected || (d.left && w->ready);
	crew->empty_exits = d.expected && !w->leaving && !w->killed && accepted == 0
				    ? crew->empty_exits + 1
				    : 0;
	d.expected = d.expected && crew->empty_exits <= EMPTY_EXITS_MOST;
	return d;
}

/* A client that it was killed for has ended by its timeout. */
static int fold(struct worker *w)
{
	struct board *board = &w->crew->master->board;
	bool late = w->late && board_slot_accepted(board, w->slot) == w->late_number;

	return board_slot_fold_as(board, w->slot, late ? CONN_timed_out : CONN_aborted_death);
}

void crew_reap(struct worker *w, const siginfo_t *info)
{
	struct crew *crew = w->crew;
	struct master *m = crew->master;
	uint64_t now = master_now();
	struct death d;

	crew_look(crew);
	copy_flush(w);
	d = judge(w, info, now);
	crew_count_end(w, now);
	d.open = w->copy ? 0 : fold(w);
	log_death(w, &d);
	if (!d.expected)
		board_pool_add(&m->board, crew->board, POOL_workers_died, 1);
	if (!d.expected && !d.served)
		pool_failed(&crew->health, now, master_random(m));
	else if (d.served)
		pool_succeeded(&crew->health);
	if (w->copy)
		copy_end_group(w, now);
	else
		worker_forget(w);
	master_step_at(m, now);
}
