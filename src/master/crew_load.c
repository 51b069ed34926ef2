/* SPDX-License-Identifier: ISC */
/*
 * What the workers of a pool that may grow do. They count themselves who is idle; the master puts
 * that right where one died in the middle, and where one that counts as idle stands still.
 */
#include <config.h>

#include <stdio.h>
#include <unistd.h>

#include "base/process.h"
#include "master/crew_load.h"

/* When a worker has died, what the gauge says is held against the slots so much later. */
#define CHECK_USEC UINT64_C(1000000)

static unsigned less(unsigned a, unsigned b)
{
	return a > b ? a - b : 0;
}

static enum slot_state state_of(const struct worker *w)
{
	return board_slot_state(&w->crew->master->board, w->slot);
}

/* ---- the gauge ---- */

static unsigned count_idle(const struct crew *crew)
{
	unsigned idle = 0;

	for (size_t i = 0; i < crew->worker_count; i++)
		idle += state_of(crew->workers[i]) == SLOT_IDLE;
	return idle;
}

/* Who counts and is killed in the middle leaves it wrong. Only what is the same at two looks is
 * believed: in between two steps of a worker the two differ for a moment. */
static uint64_t check_gauge(struct crew *crew, const struct gauge_reading *seen, uint64_t now)
{
	int off;

	if (now < crew->check_usec)
		return crew->check_usec;
	off = (int)count_idle(crew) - (int)seen->idle;
	if (off != 0 && off == crew->gauge_off) {
		gauge_correct(crew->gauge, off);
		off = 0;
	}
	crew->gauge_off = off;
	crew->check_usec = off ? now + CHECK_USEC : POOL_NEVER;
	return crew->check_usec;
}

void crew_count_end(const struct worker *w, uint64_t now)
{
	struct crew *crew = w->crew;
	uint64_t since = board_slot_since(&crew->master->board, w->slot);
	enum slot_state state = state_of(w);

	if (since <= now && since > crew->master->last_client)
		crew->master->last_client = since;
	if (!crew->gauge || state == SLOT_LEAVING)
		return;
	if (state == SLOT_IDLE)
		gauge_correct(crew->gauge, -1);
	crew->check_usec = now + CHECK_USEC;
}

/* ---- workers that stand still ---- */

/* With `look` whether they do now; else who has a client, or has left, does not any more. */
static void count_stuck(struct crew *crew, bool look)
{
	unsigned stuck = 0;

	for (size_t i = 0; i < crew->worker_count; i++) {
		struct worker *w = crew->workers[i];

		w->stuck = (w->stuck || look) && state_of(w) == SLOT_IDLE &&
			   (!look || process_is_stopped(w->pid));
		stuck += w->stuck;
	}
	if (stuck != crew->stuck)
		gauge_set_low(crew->gauge, pool_low(&crew->settings) + stuck);
	crew->stuck = stuck;
}

void crew_see_queue(struct crew *crew, bool waits)
{
	unsigned before = crew->stuck;
	bool stalls;

	/* Who is new would wait for its turn like the others. */
	if (!crew->gauge || crew_takes_turns(crew))
		return;
	stalls = pool_stalls(&crew->stall, waits, gauge_begun(crew->gauge));
	if (stalls || before > 0)
		count_stuck(crew, true);
	crew->stalls = stalls && crew->stuck > 0;
	if (crew->stalls || crew->stuck != before)
		master_step_at(crew->master, 0);
}

/* One that was stopped may have been woken for the client, and nobody else: then none of the others
 * knows of it. Who is new looks for it. */
static unsigned idle_of(const struct crew *crew, const struct gauge_reading *seen)
{
	return crew->stalls && seen->begun == crew->stall.begun ? 0 : less(seen->idle, crew->stuck);
}

/* ---- the load ---- */

static unsigned room(const struct crew *crew)
{
	const struct master *m = crew->master;
	uint64_t total = m->workers_total ? m->workers_total : BOARD_SLOTS;

	return total > m->worker_count ? (unsigned)(total - m->worker_count) : 0;
}

/* The kernel is asked only when it matters. */
static unsigned count_queued(const struct crew *crew)
{
	const struct listener *l = crew->listeners[0];
	int queued;

	if (crew->watch && !crew->came)
		return 0;
	queued = listener_queue(l);
	if (queued > 0)
		return (unsigned)queued;
	return listener_is_empty(l) ? 0 : 1;
}

/* Whether more run than can, the master not counted. Where that is not told, none does. */
static bool is_short_of_cpu(const struct crew *crew)
{
	const struct master *m = crew->master;
	char text[64];
	unsigned running;
	ssize_t n;

	if (m->loadavg < 0)
		return false;
	n = pread(m->loadavg, text, sizeof(text) - 1, 0);
	if (n <= 0)
		return false;
	text[n] = '\0';
	/* NOLINTNEXTLINE(cert-err34-c): the kernel wrote it */
	return sscanf(text, "%*s %*s %*s %u/", &running) == 1 && running > m->cpus;
}

uint64_t crew_read_load(struct crew *crew, uint64_t now, struct gauge_reading *seen,
			struct pool_load *load)
{
	uint64_t next;

	*seen = gauge_read(crew->gauge);
	next = check_gauge(crew, seen, now);
	if (crew->stuck > 0)
		count_stuck(crew, false);
	*load = (struct pool_load){.idle = idle_of(crew, seen),
				   .least = less(seen->least, crew->stuck),
				   .begun = seen->begun,
				   .room = room(crew)};
	if (load->idle < pool_low(&crew->settings)) {
		load->queued = count_queued(crew);
		load->short_of_cpu = is_short_of_cpu(crew);
	}
	return next;
}
