/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/log.h"
#include "base/mem.h"
#include "master/crew.h"
#include "worker/job.h"
#include "worker/sandbox.h"

#define DRAIN_USEC UINT64_C(10000)
const char *const crew_state_names[CREW_STATES] = {"gated", "serving", "draining", "leaving"};

void held_config_release(struct held_config *held)
{
	if (!held || --held->users > 0)
		return;
	config_free(held->config);
	free(held);
}

/* ---- begin and end ---- */

static int open_handler(struct crew *crew, struct error *err)
{
	const struct service_config *s = crew->service;

	crew->setup = (struct preforkd_setup){
		.service = s->name,
		.options = s->options,
		.option_count = s->option_count,
	};
	return handler_open(&crew->handler, *s->builtin ? s->builtin : NULL,
			    *s->module ? s->module : NULL, &crew->setup, err);
}

/* Counts the pools of a UDP port, so that the mark on the board goes with the last. */
static void mark_udp_port(struct crew *crew, bool ours)
{
	const struct endpoint *e = &crew->listener->bound;
	struct master *m = crew->master;
	unsigned port;

	if (e->type != SOCK_DGRAM || e->addr.any.sa_family == AF_UNIX || crew->marked == ours)
		return;
	/* The port is at the same place in both families. */
	port = ntohs(e->addr.in.sin_port);
	m->udp_users[port] = (uint16_t)(m->udp_users[port] + (ours ? 1 : -1));
	crew->marked = ours;
	board_udp_port(&m->board, port, m->udp_users[port] > 0);
}

/* The last step of making one; frees it where that fails. */
static struct crew *enter_board(struct crew *crew, const char *handler, struct error *err)
{
	crew->board = board_pool_open(&crew->master->board, crew->service->name,
				      crew->listener->address, handler);
	if (crew->board < 0) {
		error_set(err, EX_CONFIG, "more than %d addresses", BOARD_POOLS);
		crew_free(crew);
		return NULL;
	}
	mark_udp_port(crew, true);
	return crew;
}

struct crew *crew_new(struct master *m, struct held_config *held,
		      const struct service_config *service, struct listener *listener,
		      struct error *err)
{
	struct crew *crew = mem_new(1, sizeof(*crew));
	const char *handler_name;

	held->users++;
	*crew = (struct crew){
		.master = m,
		.state = CREW_GATED,
		.held = held,
		.service = service,
		.fingerprint = config_fingerprint(service),
		.title = mem_format("preforkd: %s [%s]", service->name, listener->address),
		.listener = listener,
		.board = -1,
		.stop_usec = POOL_NEVER,
		.gate = -1,
		.report = -1};
	if (open_handler(crew, err) < 0) {
		crew_free(crew);
		return NULL;
	}
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): it was opened */
	handler_name = crew->handler.handler->name;
	if (service->sandbox == SANDBOX_STRICT && sandbox_prepare(err) < 0) {
		crew_free(crew);
		return NULL;
	}
	return enter_board(crew, handler_name, err);
}

struct crew *crew_adopt(struct master *m, const char *name, struct listener *listener,
			struct error *err)
{
	struct crew *crew = mem_new(1, sizeof(*crew));

	*crew = (struct crew){.master = m,
			      .state = CREW_SERVING,
			      .adopted = mem_new(1, sizeof(*crew->adopted)),
			      .fingerprint = mem_text(""), /* no other is equal */
			      .listener = listener,
			      .board = -1,
			      .stop_usec = POOL_NEVER,
			      .gate = -1,
			      .report = -1};
	crew->adopted->name = mem_text(name);
	crew->service = crew->adopted;
	return enter_board(crew, "", err);
}

int crew_adopt_worker(struct crew *crew, const struct worker *worker)
{
	struct worker *w = mem_new(1, sizeof(*w));
	int r;

	*w = *worker;
	w->crew = crew;
	r = worker_watch(w);
	if (r < 0) {
		free(w);
		errno = -r;
		return -1;
	}
	crew->workers = mem_grow(crew->workers, crew->worker_count + 1, sizeof(struct worker *));
	crew->workers[crew->worker_count++] = w;
	++*worker_count_of(w);
	return 0;
}

void crew_free(struct crew *crew)
{
	mark_udp_port(crew, false);
	for (size_t i = 0; i < crew->worker_count; i++) {
		sd_event_source_disable_unref(crew->workers[i]->child);
		free(crew->workers[i]);
	}
	handler_close(&crew->handler);
	listener_release(crew->listener);
	held_config_release(crew->held);
	if (crew->adopted)
		free(crew->adopted->name);
	free(crew->adopted);
	free(crew->fingerprint);
	free(crew->title);
	free(crew->workers);
	free(crew);
}

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
	board_pool_set(board, crew->board, POOL_workers_wanted, crew->service->workers);
	board_pool_set(board, crew->board, POOL_workers_running, crew->worker_count);
	board_pool_set(board, crew->board, POOL_workers_ready, c->ready + c->old);
	board_pool_set(board, crew->board, POOL_workers_leaving, c->leaving);
	board_pool_set(board, crew->board, POOL_backoff_usec,
		       crew_is_degraded(crew) ? crew->health.retry - crew->health.last_failure : 0);
	board_pool_set(board, crew->board, POOL_left_over, is_left_over(crew));
}

bool crew_is_full(const struct crew *crew)
{
	return crew->counts.ready >= crew->service->workers;
}

/* A full pool is well again; its failures only count when the next one comes. One that leaves is
 * not to get any worker. */
bool crew_is_degraded(const struct crew *crew)
{
	return is_left_over(crew) ||
	       (crew->state != CREW_LEAVING && crew->health.failures > 0 && !crew_is_full(crew));
}

void crew_look(struct crew *crew)
{
	for (size_t i = 0; i < crew->worker_count; i++) {
		struct worker *w = crew->workers[i];

		if (w->ready || board_slot_state(&crew->master->board, w->slot) == SLOT_STARTING)
			continue;
		--*worker_count_of(w);
		w->ready = true;
		++*worker_count_of(w);
	}
}

/* ---- working ---- */

static void start(struct crew *crew, unsigned count, uint64_t now)
{
	const struct log_about about = crew_about(crew, NULL);

	if (count == 0 || spawn_workers(crew, count) == 0)
		return;
	log_event(LOG_LEVEL_ERROR, MESSAGE_fork_failed, &about,
		  "service \"%s\" [%s]: starting a worker: %s; trying again with growing pauses",
		  crew->service->name, crew->listener->address, strerror(errno));
	board_pool_add(&crew->master->board, crew->board, POOL_fork_errors, 1);
	pool_failed(&crew->health, now, master_random(crew->master));
}

static void retire(struct crew *crew, unsigned count, uint64_t now)
{
	for (size_t i = 0; i < crew->worker_count && count > 0; i++) {
		struct worker *w = crew->workers[i];

		if (w->leaving || w->epoch == crew->epoch)
			continue;
		worker_tell(w, now);
		count--;
	}
}

static uint64_t follow_policy(struct crew *crew, uint64_t now)
{
	const struct pool_settings settings = {
		.workers = (unsigned)crew->service->workers,
		/* Nobody waits for a gated pool: all at once, they share more memory. */
		.max_starting =
			crew->state == CREW_GATED ? SPAWN_BATCH : crew->master->max_starting,
	};
	struct pool_plan plan = pool_plan(&settings, &crew->counts, &crew->health, now);

	start(crew, plan.start, now);
	retire(crew, plan.retire, now);
	return plan.start ? pool_plan(&settings, &crew->counts, &crew->health, now).next_usec
			  : plan.next_usec;
}

static void tell_queue_cut(const struct crew *crew)
{
	const struct log_about about = crew_about(crew, NULL);

	log_event(LOG_LEVEL_WARNING, MESSAGE_queue_cut, &about,
		  "service \"%s\" [%s]: clients still wait in the queue after stop_timeout; "
		  "closed on them",
		  crew->service->name, crew->listener->address);
}

/* The workers serve until the queue is empty; then they go, and a look after the last tells whether
 * somebody came through in between. */
static uint64_t drain_step(struct crew *crew, uint64_t now)
{
	bool empty = listener_is_empty(crew->listener);

	/* An adopted one starts no worker. */
	if (empty || now >= crew->stop_usec || (crew->adopted && crew->worker_count == 0)) {
		if (!empty) {
			tell_queue_cut(crew);
			board_pool_add(&crew->master->board, crew->board, POOL_queued_at_close, 1);
		}
		crew_leave(crew);
		return crew_attend_leaving(crew, now);
	}
	if (!crew->adopted)
		follow_policy(crew, now);
	return now + DRAIN_USEC;
}

uint64_t crew_step(struct crew *crew, uint64_t now)
{
	uint64_t next = POOL_NEVER, leaving, starting, health;

	if (crew->state == CREW_LEAVING && crew->worker_count == 0 && crew->listener->draining &&
	    crew->listener->users == 1 && now < crew->stop_usec && !crew->adopted &&
	    !listener_is_empty(crew->listener))
		crew->state = CREW_DRAINING;
	if (crew->state == CREW_DRAINING)
		next = drain_step(crew, now);
	else if (crew->state != CREW_LEAVING && !crew->adopted)
		next = follow_policy(crew, now);
	leaving = crew_attend_leaving(crew, now);
	next = next < leaving ? next : leaving;
	starting = crew_attend_starting(crew, now);
	next = next < starting ? next : starting;
	health = crew_tell_health(crew, now);
	publish(crew);
	return next < health ? next : health;
}

void crew_serve(struct crew *crew, uint32_t generation)
{
	crew->state = CREW_SERVING;
	crew->generation = generation;
	board_pool_set_handler(&crew->master->board, crew->board, crew->handler.handler->name);
	crew->gate = crew->report = -1;
	publish(crew);
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
