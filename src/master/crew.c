/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "master/copy.h"
#include "master/crew.h"

#define DRAIN_USEC UINT64_C(10000)
const char *const crew_state_names[CREW_STATES] = {"gated", "serving", "draining", "leaving"};

/* ---- counting ---- */

unsigned *worker_count_of(struct worker *worker)
{
	struct pool_counts *c = &worker->crew->counts;

	if (worker->leaving)
		return &c->leaving;
	if (worker->epoch != worker->crew->epoch)
		return &c->old;
	return worker->ready ? &c->ready : &c->starting;
}

static bool another_serves(const struct crew *crew)
{
	const struct master *m = crew->master;

	for (size_t i = 0; i < m->crew_count; i++)
		if (m->crews[i]->state == CREW_SERVING && m->crews[i]->board == crew->board)
			return true;
	return false;
}

/* An upgrade that could not load its configuration left it behind: it starts no worker. */
static bool is_left_over(const struct crew *crew)
{
	return crew->adopted && crew->state == CREW_SERVING && !crew->master->transaction;
}

static void publish(struct crew *crew)
{
	const struct pool_counts *c = &crew->counts;
	struct board *board = &crew->master->board;

	if (crew->state == CREW_DRAINING && another_serves(crew))
		return;
	/* A pool that only leaves shares its record with the one that replaced it. */
	if (crew->state != CREW_SERVING && crew->state != CREW_DRAINING)
		return;
	board_pool_set(board, crew->board, POOL_generation, crew->generation);
	board_pool_set(board, crew->board, POOL_workers_wanted,
		       crew->given_up ? 0 : crew->settings.workers);
	board_pool_set(board, crew->board, POOL_workers_max,
		       crew->given_up ? 0 : pool_most(&crew->settings));
	board_pool_set(board, crew->board, POOL_workers_running, crew->worker_count);
	board_pool_set(board, crew->board, POOL_workers_ready, c->ready + c->old);
	board_pool_set(board, crew->board, POOL_workers_leaving, c->leaving);
	board_pool_set(board, crew->board, POOL_backoff_usec,
		       crew_is_degraded(crew) ? crew->health.retry - crew->health.last_failure : 0);
	board_pool_set(board, crew->board, POOL_left_over, is_left_over(crew));
	board_pool_set(board, crew->board, POOL_acceptor, crew_is_acceptor(crew));
}

bool crew_is_full(const struct crew *crew)
{
	return crew->counts.ready >= crew->settings.workers;
}

bool crew_is_complete(const struct crew *crew)
{
	return crew_is_full(crew) && crew->counts.ready >= crew->history.size;
}

/* A full pool is well again; its failures only count when the next one comes. One that leaves is
 * not to get any worker. */
bool crew_is_degraded(const struct crew *crew)
{
	return is_left_over(crew) || (crew->state != CREW_LEAVING && !crew->given_up &&
				      crew->health.failures > 0 && !crew_is_complete(crew));
}

static bool is_ready(const struct worker *w)
{
	struct board *board = &w->crew->master->board;

	if (!w->copy)
		return board_slot_state(board, w->slot) != SLOT_STARTING;
	if (!copy_is_ready(w, master_now()))
		return false;
	/* It knows of no board. */
	board_slot_set_running(board, w->slot);
	return true;
}

void crew_look(struct crew *crew)
{
	/* The youngest are last. */
	for (size_t i = crew->worker_count, left = crew->unready; i > 0 && left > 0; i--) {
		struct worker *w = crew->workers[i - 1];

		left -= !w->ready;
		if (w->ready || !is_ready(w))
			continue;
		--*worker_count_of(w);
		w->ready = true;
		++*worker_count_of(w);
		crew->unready--;
	}
}

/* ---- working ---- */

static void tell_queue_cut(const struct crew *crew)
{
	const struct log_about about = crew_about(crew, NULL);

	log_event(LOG_LEVEL_WARNING, MESSAGE_queue_cut, &about,
		  "service \"%s\" [%s]: clients still wait in the queue after stop_timeout; "
		  "closed on them",
		  crew->service->name, crew->address);
}

static bool starts_no_worker(const struct crew *crew)
{
	return crew->adopted || crew->given_up;
}

/* The workers serve until the queue is empty; then they go, and a look after the last tells whether
 * somebody came through in between. */
static uint64_t drain_step(struct crew *crew, uint64_t now)
{
	size_t waiting = crew_count_waiting(crew, false);

	if (waiting == 0 || now >= crew->stop_usec ||
	    (starts_no_worker(crew) && crew->worker_count == 0)) {
		if (waiting > 0)
			tell_queue_cut(crew);
		board_pool_add(&crew->master->board, crew->board, POOL_queued_at_close, waiting);
		board_ledger_queue_cut(&crew->master->board, crew->generation, crew->replaced_by,
				       waiting);
		crew_leave(crew);
		return crew_attend_leaving(crew, now);
	}
	if (!starts_no_worker(crew))
		crew_follow_policy(crew, now);
	return now + DRAIN_USEC;
}

uint64_t crew_step(struct crew *crew, uint64_t now)
{
	uint64_t next = POOL_NEVER, leaving, starting, copies, clients, health;

	if (crew->state == CREW_LEAVING && crew->worker_count == 0 && now < crew->stop_usec &&
	    !starts_no_worker(crew) && crew_count_waiting(crew, true) > 0)
		crew->state = CREW_DRAINING;
	if (crew->state == CREW_DRAINING)
		next = drain_step(crew, now);
	else if (crew->state != CREW_LEAVING && !crew->adopted)
		next = crew_follow_policy(crew, now);
	copies = crew_attend_groups(crew, now);
	next = next < copies ? next : copies;
	clients = crew_attend_clients(crew, now);
	next = next < clients ? next : clients;
	leaving = crew_attend_leaving(crew, now);
	next = next < leaving ? next : leaving;
	starting = crew_attend_starting(crew, now);
	next = next < starting ? next : starting;
	copies = crew_attend_copies(crew, now);
	next = next < copies ? next : copies;
	health = crew_tell_health(crew, now);
	publish(crew);
	return next < health ? next : health;
}

void crew_serve(struct crew *crew, uint32_t generation)
{
	crew->state = CREW_SERVING;
	crew->generation = generation;
	board_pool_set_handler(&crew->master->board, crew->board, crew_handler_name(crew));
	crew->gate = crew->report = -1;
	publish(crew);
}

void crew_replaced_by(struct crew *crew, enum verdict_kind kind)
{
	crew->replaced_by = (unsigned)kind + 1;
	for (size_t i = 0; i < crew->worker_count; i++)
		board_slot_replaced(&crew->master->board, crew->workers[i]->slot, kind);
}

void crew_recycle(struct crew *crew)
{
	struct pool_counts *c = &crew->counts;

	crew->epoch++;
	/* What failed before says nothing about the workers to come. */
	pool_succeeded(&crew->health);
	c->old += c->ready + c->starting;
	c->ready = c->starting = 0;
}

void crew_recycle_undo(struct crew *crew)
{
	struct pool_counts *c = &crew->counts;

	*c = (struct pool_counts){0};
	for (size_t i = 0; i < crew->worker_count; i++) {
		crew->workers[i]->epoch = crew->epoch;
		++*worker_count_of(crew->workers[i]);
	}
}
