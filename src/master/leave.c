/* SPDX-License-Identifier: ISC */
/* How workers are told to leave, and what becomes of those that do not. */
#include <config.h>

#include <signal.h>

#include "base/log.h"
#include "master/copy.h"
#include "master/crew.h"

/* How often a worker that was told to leave is looked at: an idle one is signalled again. */
#define LEAVE_USEC UINT64_C(100000)
/* What a worker says of itself is believed for so long: then it is signalled all the same. */
#define BUSY_BELIEVED_USEC UINT64_C(1000000)

static void signal_worker(struct worker *w, int signal)
{
	/* By pidfd: never a pid that was used again. ESRCH: it ended a moment ago. */
	sd_event_source_send_child_signal(w->child, signal, NULL, 0);
}

/*
 * Only an idle worker is signalled: it waits in accept(). A busy one reads the word when its client
 * is done; a signal would disturb the handler. What the board says of it is a hint, hence again and
 * again.
 */
static void nudge(struct worker *w, uint64_t now)
{
	/* A second one means "at once" to many programs. */
	if (w->copy) {
		signal_worker(w, (int)w->crew->service->stop_signal);
		w->signal_usec = POOL_NEVER;
		return;
	}
	if (board_slot_state(&w->crew->master->board, w->slot) != SLOT_BUSY) {
		signal_worker(w, SIGTERM);
	} else if (now - w->nudged_usec > BUSY_BELIEVED_USEC) {
		signal_worker(w, SIGTERM);
		w->nudged_usec = now;
	}
	w->signal_usec = now + LEAVE_USEC;
}

static void end_worker(struct worker *w)
{
	w->killed = true;
	if (!w->ended)
		signal_worker(w, SIGKILL);
	/* And what its handler started: the group is its own, and the pid is not reaped yet. */
	kill(-w->pid, SIGKILL);
}

void worker_end(struct worker *w, uint64_t now)
{
	w->crew->killing = true;
	w->kill_usec = now + LEAVE_USEC;
	end_worker(w);
}

/* A worker of programs ends what it runs, of which nobody else knows: VTALRM. Any other ends by it.
 * One that does not is ended a moment later. */
static void kill_worker(struct worker *w, uint64_t now)
{
	w->crew->killing = true;
	if (w->killed || !w->ready || w->crew->gate >= 0 || w->copy) {
		if (w->copy)
			w->kill_usec = now;
		end_worker(w);
		return;
	}
	w->killed = true;
	w->kill_usec = now + LEAVE_USEC;
	signal_worker(w, SIGVTALRM);
}

void worker_dismiss(struct worker *w, uint64_t now)
{
	if (w->leaving)
		return;
	--*worker_count_of(w);
	w->leaving = true;
	++*worker_count_of(w);
	w->kill_usec = POOL_NEVER;
	w->nudged_usec = now;
	board_slot_tell(&w->crew->master->board, w->slot, WORD_LEAVE);
	nudge(w, now);
}

void worker_tell(struct worker *w, uint64_t now)
{
	uint64_t timeout = w->crew->service->stop_timeout;

	if (w->leaving && w->kill_usec != POOL_NEVER)
		return;
	worker_dismiss(w, now);
	w->kill_usec = timeout ? now + timeout : POOL_NEVER;
	if (w->crew->stop_usec < w->kill_usec)
		w->kill_usec = w->crew->stop_usec;
}

/* A tracer can hold a dead child back when its pidfd fires; sd-event looks only once then. */
void worker_rearm(struct worker *w)
{
	/* Off first: it is on, and would be left as it is. */
	sd_event_source_set_enabled(w->child, SD_EVENT_OFF);
	sd_event_source_set_enabled(w->child, SD_EVENT_ONESHOT);
}

static void tell_killed(const struct worker *w)
{
	const struct crew *crew = w->crew;
	const struct log_about about = crew_about(crew, w);

	log_event(LOG_LEVEL_WARNING, MESSAGE_worker_killed, &about,
		  "service \"%s\" [%s]: %sworker %d did not leave within its stop_timeout; killed",
		  crew->service->name, crew->address, w->ended ? "what is left of " : "",
		  (int)w->pid);
}

uint64_t crew_attend_leaving(struct crew *crew, uint64_t now)
{
	uint64_t next = POOL_NEVER;

	if (crew->counts.leaving == 0 && !crew->killing)
		return POOL_NEVER;
	crew->killing = false;
	for (size_t i = 0; i < crew->worker_count; i++) {
		struct worker *w = crew->workers[i];

		if ((!w->leaving && !w->killed) || (w->killed && w->ended))
			continue;
		if (w->killed) {
			crew->killing = true;
			if (now >= w->kill_usec)
				end_worker(w);
			worker_rearm(w);
			next = now + LEAVE_USEC < next ? now + LEAVE_USEC : next;
			continue;
		}
		if (now >= w->kill_usec) {
			tell_killed(w);
			kill_worker(w, now);
			next = next < w->kill_usec ? next : w->kill_usec;
			continue;
		}
		if (now >= w->signal_usec)
			nudge(w, now);
		next = next < w->signal_usec ? next : w->signal_usec;
		next = next < w->kill_usec ? next : w->kill_usec;
	}
	return next;
}

static void tell_not_ready(const struct worker *w)
{
	const struct crew *crew = w->crew;
	const struct log_about about = crew_about(crew, w);

	log_event(LOG_LEVEL_WARNING, MESSAGE_worker_not_ready, &about,
		  "service \"%s\" [%s]: worker %d was not ready within start_timeout",
		  crew->service->name, crew->address, (int)w->pid);
}

/* A worker that hangs before it is ready, when no transaction waits for it. */
uint64_t crew_attend_starting(struct crew *crew, uint64_t now)
{
	uint64_t timeout = crew->service->start_timeout, next = POOL_NEVER;

	if (crew->state == CREW_GATED || timeout == 0)
		return POOL_NEVER;
	/* The youngest are last. */
	for (size_t i = crew->worker_count, left = crew->unready; i > 0 && left > 0; i--) {
		struct worker *w = crew->workers[i - 1];

		left -= !w->ready;
		if (w->ready || w->leaving)
			continue;
		if (now < w->forked_usec + timeout) {
			next = w->forked_usec + timeout < next ? w->forked_usec + timeout : next;
			continue;
		}
		tell_not_ready(w);
		next = now + LEAVE_USEC;
		if (!w->copy) {
			signal_worker(w, SIGKILL);
			continue;
		}
		/* It may have clients all the same. */
		pool_failed(&crew->health, now, master_random(crew->master));
		worker_tell(w, now);
	}
	return next;
}

static void tell_all(struct crew *crew, uint64_t now)
{
	for (size_t i = 0; i < crew->worker_count; i++)
		worker_tell(crew->workers[i], now);
}

void crew_leave(struct crew *crew)
{
	uint64_t timeout = crew->service->stop_timeout, now = master_now();

	crew_unwatch(crew);
	crew->state = CREW_LEAVING;
	if (timeout && crew->stop_usec == POOL_NEVER)
		crew->stop_usec = now + timeout;
	tell_all(crew, now);
}

void crew_drain(struct crew *crew)
{
	uint64_t timeout = crew->service->stop_timeout;

	if (crew->state == CREW_DRAINING || crew->state == CREW_LEAVING)
		return;
	if (crew_close_doors(crew) == 0) {
		crew_leave(crew);
		return;
	}
	crew_unwatch(crew);
	crew->state = CREW_DRAINING;
	crew->stop_usec = timeout ? master_now() + timeout : POOL_NEVER;
}

void crew_give_up(struct crew *crew)
{
	if (!crew_is_acceptor(crew) || crew->worker_count == 0) {
		crew_kill(crew);
		return;
	}
	crew->given_up = true;
	crew_drain(crew);
}

void crew_kill(struct crew *crew)
{
	for (size_t i = 0; i < crew->worker_count; i++)
		kill_worker(crew->workers[i], master_now());
	crew_unwatch(crew);
	crew->state = CREW_LEAVING;
	crew->stop_usec = 0;
}
