/* SPDX-License-Identifier: ISC */
/* What becomes of a worker that ended: its cause, its counters, its pool's health. */
#include <config.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "master/crew.h"

/* Workers that left in a row, unasked and without a client, before that is a failure. */
#define EMPTY_EXITS_MOST 20

struct log_about crew_about(const struct crew *crew, const struct worker *worker)
{
	return (struct log_about){
		.service = crew->service->name,
		.address = crew->listener->address,
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
		  crew->listener->address, crew->counts.ready, crew->counts.ready == 1 ? "" : "s");
}

static void tell_degraded(struct crew *crew)
{
	const struct log_about about = crew_about(crew, NULL);
	const struct pool_health *health = &crew->health;

	crew->degraded_said = true;
	log_event(LOG_LEVEL_WARNING, MESSAGE_pool_degraded, &about,
		  "service \"%s\" [%s]: degraded: the next worker is tried in %llu ms, then with "
		  "growing pauses",
		  crew->service->name, crew->listener->address,
		  (unsigned long long)(health->retry - health->last_failure) / 1000);
}

uint64_t crew_tell_health(struct crew *crew, uint64_t now)
{
	const struct pool_health *health = &crew->health;
	uint64_t calm = health->retry + (health->retry - health->last_failure);

	/* What an upgrade left over has no next worker. */
	if (crew->state != CREW_SERVING || crew->adopted)
		return POOL_NEVER;
	if (crew_is_degraded(crew) && !crew->degraded_said)
		tell_degraded(crew);
	if (!crew->degraded_said || !crew_is_full(crew))
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

static void log_death(const struct worker *w, const siginfo_t *info, int open)
{
	const struct crew *crew = w->crew;
	const struct log_about about = crew_about(crew, w);
	bool left = info->si_code == CLD_EXITED && info->si_status == 0;
	bool undone = w->killed && crew->gate >= 0;
	bool normal = undone || (left && w->ready && !open);
	char cause[128];

	if (undone)
		snprintf(cause, sizeof(cause), "ended with the load it was started for");
	else if (w->killed)
		snprintf(cause, sizeof(cause), "killed after stop_timeout or by a second stop");
	else
		describe(info, cause, sizeof(cause));
	log_event(normal ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING,
		  normal ? MESSAGE_none : MESSAGE_worker_died, &about,
		  "service \"%s\" [%s]: worker %d %s%s%s%s", crew->service->name,
		  crew->listener->address, (int)w->pid, cause,
		  open > 0 ? " while it served a client" : "",
		  w->ready ? "" : " before it was ready",
		  open < 0 ? "; its counters made no sense and are dropped" : "");
}

static void forget_worker(struct worker *w)
{
	struct crew *crew = w->crew;

	--*worker_count_of(w);
	for (size_t i = 0; i < crew->worker_count; i++) {
		if (crew->workers[i] == w) {
			crew->workers[i] = crew->workers[--crew->worker_count];
			break;
		}
	}
	sd_event_source_disable_unref(w->child);
	free(w);
}

void crew_reap(struct worker *w, const siginfo_t *info)
{
	struct crew *crew = w->crew;
	struct master *m = crew->master;
	uint64_t accepted = board_slot_accepted(&m->board, w->slot), now = master_now();
	bool left = info->si_code == CLD_EXITED && info->si_status == 0, expected;
	int open;

	crew_look(crew);
	expected = w->leaving || w->killed || (left && w->ready);
	crew->empty_exits =
		expected && !w->leaving && !w->killed && accepted == 0 ? crew->empty_exits + 1 : 0;
	expected = expected && crew->empty_exits <= EMPTY_EXITS_MOST;
	open = board_slot_fold(&m->board, w->slot);
	log_death(w, info, open);
	if (!expected)
		board_pool_add(&m->board, crew->board, POOL_workers_died, 1);
	if (!expected && accepted == 0)
		pool_failed(&crew->health, now, master_random(m));
	else if (accepted > 0)
		pool_succeeded(&crew->health);
	forget_worker(w);
	master_step_at(m, now);
}
