/* SPDX-License-Identifier: ISC */
/* How many workers a pool has: what the policy says, done. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "board/gauge.h"
#include "master/copy.h"
#include "master/crew_load.h"

/* Where nobody can be asked to tell, it is looked now and then. */
#define CHECK_USEC UINT64_C(1000000)
/* How often one line is said. */
#define PLAN_EVERY_USEC UINT64_C(1000000)
#define FULL_EVERY_USEC UINT64_C(60000000)
/* A client of a pool that is done fast with them is new for so long. */
#define FRESH_USEC UINT64_C(20000)

static uint64_t earliest(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* ---- settings ---- */

static struct pool_settings settings_of(const struct crew *crew,
					const struct service_config *service)
{
	/* A copy of a program tells nobody whether it has clients. */
	bool fixed = crew_is_acceptor(crew);

	return (struct pool_settings){
		.workers = (unsigned)service->workers,
		.workers_max = (unsigned)(fixed ? service->workers : service->workers_max),
		.spare = (unsigned)service->spare,
		.shrink_after = service->shrink_after,
	};
}

static int take_gauge(struct crew *crew, struct error *err)
{
	struct master *m = crew->master;

	if (!m->gauges)
		m->gauges = gauge_map(MASTER_GAUGES);
	if (!m->gauges)
		return error_set(err, EX_OSERR, "memory that workers share: %s", strerror(errno));
	for (size_t i = 0; i < MASTER_GAUGES; i++) {
		if (m->gauge_used[i])
			continue;
		m->gauge_used[i] = true;
		crew->gauge = &m->gauges[i];
		gauge_reset(crew->gauge, pool_low(&crew->settings));
		return 0;
	}
	return error_set(err, EX_CONFIG, "more than %d pools that grow", MASTER_GAUGES);
}

int crew_open_size(struct crew *crew, struct error *err)
{
	crew->settings = settings_of(crew, crew->service);
	crew->history.size = crew->settings.workers;
	return pool_is_elastic(&crew->settings) ? take_gauge(crew, err) : 0;
}

void crew_close_size(struct crew *crew)
{
	struct master *m = crew->master;

	crew_unwatch(crew);
	if (crew->gauge)
		m->gauge_used[crew->gauge - m->gauges] = false;
	crew->gauge = NULL;
}

void crew_resize(struct crew *crew, const struct service_config *service)
{
	crew->settings = settings_of(crew, service);
	if (crew->gauge)
		gauge_set_low(crew->gauge, pool_low(&crew->settings) + crew->stuck);
}

static unsigned count_busy(const struct crew *crew)
{
	const struct board *board = &crew->master->board;
	unsigned busy = 0;

	for (size_t i = 0; i < crew->worker_count; i++)
		busy += board_slot_state(board, crew->workers[i]->slot) == SLOT_BUSY;
	return busy;
}

void crew_follow_size(struct crew *crew, const struct crew *before)
{
	unsigned busy = count_busy(before);

	if (crew->gauge && busy > 0)
		crew->history.size = busy + crew->settings.spare;
}

bool crew_has_worker(struct crew *crew)
{
	if (crew->counts.ready + crew->counts.old > 0 || crew->adopted)
		return true;
	if (crew->history.size == 0)
		crew->history.size = 1;
	return false;
}

/* ---- the client of a pool without idle workers ---- */

static int on_client(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct crew *crew = userdata;

	(void)source;
	(void)fd;
	(void)events;
	crew->came = true;
	master_step_at(crew->master, 0);
	return 0;
}

/* Returns when to look again. */
static uint64_t watch(struct crew *crew, uint64_t now)
{
	if (!crew->watch && sd_event_add_io(crew->master->event, &crew->watch,
					    crew->listeners[0]->fd, EPOLLIN, on_client, crew) < 0)
		return now + CHECK_USEC;
	return POOL_NEVER;
}

void crew_unwatch(struct crew *crew)
{
	crew->watch = sd_event_source_disable_unref(crew->watch);
	crew->came = false;
}

/* ---- what the policy says ---- */

/* Forks that could not be. */
static void tell_fork_failed(struct crew *crew, uint64_t now)
{
	const struct log_about about = crew_about(crew, NULL);

	log_event(LOG_LEVEL_ERROR, MESSAGE_fork_failed, &about,
		  "service \"%s\" [%s]: starting a worker: %s; trying again with growing pauses",
		  crew->service->name, crew->address, strerror(errno));
	board_pool_add(&crew->master->board, crew->board, POOL_fork_errors, 1);
	pool_failed(&crew->health, now, master_random(crew->master));
}

static void retire_old(struct crew *crew, unsigned count, uint64_t now)
{
	for (size_t i = 0; i < crew->worker_count && count > 0; i++) {
		struct worker *w = crew->workers[i];

		if (w->leaving || w->epoch == crew->epoch)
			continue;
		worker_tell(w, now);
		count--;
	}
}

static bool is_idle(const struct worker *w)
{
	return w->copy || board_slot_state(&w->crew->master->board, w->slot) == SLOT_IDLE;
}

/* Has a client, but not for long: it has just come. */
static bool is_fresh(const struct worker *w, uint64_t now)
{
	uint64_t begun = board_slot_since(&w->crew->master->board, w->slot);

	return begun <= now && now - begun < FRESH_USEC;
}

/* One that has a client just now would hold its place until that is done. Returns how many are
 * still too many. */
static unsigned retire_some(struct crew *crew, unsigned count, bool busy, uint64_t now)
{
	for (size_t i = 0; i < crew->worker_count && count > 0; i++) {
		struct worker *w = crew->workers[i];

		if (w->leaving || !w->ready || w->epoch != crew->epoch ||
		    (busy ? !is_fresh(w, now) : !is_idle(w)))
			continue;
		/* Whether a copy still has clients nobody knows: it may take stop_timeout. */
		if (w->copy)
			worker_tell(w, now);
		else
			worker_dismiss(w, now);
		count--;
	}
	return count;
}

static void tell_full(struct crew *crew, const struct pool_load *load)
{
	const struct log_about about = crew_about(crew, NULL);

	/* At the first look they may be on their way to a worker. */
	if (load->queued == 0 || crew->reason != POOL_IS_FULL)
		return;
	board_pool_add(&crew->master->board, crew->board, POOL_full, 1);
	if (!log_limit_passes(&crew->full_said, FULL_EVERY_USEC))
		return;
	log_event(LOG_LEVEL_WARNING, MESSAGE_pool_full, &about,
		  "service \"%s\" [%s]: all %u workers have a client, %s%u wait%s; more are not "
		  "allowed by workers_max",
		  crew->service->name, crew->address, crew->history.size,
		  listener_queue(crew->listeners[0]) < 0 ? "at least " : "", load->queued,
		  load->queued == 1 ? "s" : "");
}

/* What is done, or why nothing is, once for as long as that is why. */
static bool is_worth_a_line(struct crew *crew, const struct pool_plan *plan)
{
	if (plan->start || plan->retire || plan->shrink)
		return true;
	return plan->reason != crew->reason && plan->reason != POOL_MEASURES &&
	       log_limit_passes(&crew->plan_said, PLAN_EVERY_USEC);
}

static void tell_plan(struct crew *crew, const struct pool_plan *plan, const struct pool_load *load)
{
	const struct pool_counts *c = &crew->counts;
	const struct log_about about = crew_about(crew, NULL);

	if (crew->master->log_level < LOG_LEVEL_DEBUG || !is_worth_a_line(crew, plan))
		return;
	log_event(
		LOG_LEVEL_DEBUG, MESSAGE_none, &about,
		"service \"%s\" [%s]: pool %s: size %u, was %u; %u ready, %u starting, %u old, %u "
		"leaving; %u idle, at least %u; %u queued; %u end in %u ms; start %u, let go %u",
		crew->service->name, crew->address, pool_reason_names[plan->reason],
		plan->history.size, crew->history.size, c->ready, c->starting, c->old, c->leaving,
		load->idle, plan->history.window_usec ? plan->history.window_least : load->least,
		load->queued, plan->history.delivers, (unsigned)(POOL_PATIENCE_USEC / 1000),
		plan->start, plan->retire + plan->shrink);
}

static unsigned max_starting(const struct crew *crew)
{
	/* Nobody waits for a gated pool: all at once, they share more memory. A copy that is not
	 * believed to be ready yet does not work on that. */
	if (crew->state == CREW_GATED || (crew_is_acceptor(crew) && !crew->waits_for_notify))
		return SPAWN_BATCH;
	return crew->master->max_starting;
}

/* Lets the next one who matters wake us. Returns when to look again. */
static uint64_t rest(struct crew *crew, const struct pool_plan *plan,
		     const struct gauge_reading *seen, uint64_t now)
{
	uint64_t next = POOL_NEVER;

	crew->came = false;
	if (plan->watch && crew->state == CREW_SERVING)
		next = watch(crew, now);
	else
		crew_unwatch(crew);
	if (!plan->arm)
		gauge_disarm(crew->gauge);
	else if (!gauge_arm(crew->gauge, seen))
		next = now;
	return next;
}

static void act(struct crew *crew, const struct pool_plan *plan, uint64_t now)
{
	unsigned left;

	if (plan->start > 0 && spawn_workers(crew, plan->start) < 0)
		tell_fork_failed(crew, now);
	retire_old(crew, plan->retire, now);
	left = retire_some(crew, plan->shrink, false, now);
	if (plan->shrink_any)
		retire_some(crew, left, true, now);
}

uint64_t crew_follow_policy(struct crew *crew, uint64_t now)
{
	struct gauge_reading seen = {0};
	struct pool_load load = {0};
	struct pool_plan plan;
	uint64_t next = POOL_NEVER;

	crew->settings.max_starting = max_starting(crew);
	if (crew->gauge)
		next = crew_read_load(crew, now, &seen, &load);
	plan = pool_plan(&crew->settings, &crew->counts, crew->gauge ? &load : NULL, &crew->history,
			 &crew->health, now);
	tell_plan(crew, &plan, &load);
	crew->history = plan.history;
	if (plan.reason == POOL_IS_FULL)
		tell_full(crew, &load);
	/* Which is no reason yet: one that is full measures again each time. */
	if (plan.reason != POOL_MEASURES)
		crew->reason = plan.reason;
	act(crew, &plan, now);
	if (crew->gauge)
		next = earliest(next, rest(crew, &plan, &seen, now));
	if (crew->health.retry > now)
		next = earliest(next, crew->health.retry);
	return earliest(next, plan.next_usec);
}
