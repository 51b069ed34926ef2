/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <sys/mman.h>
#include <unistd.h>

#include "base/hot.h"
#include "board/gauge.h"
#include "board/seqlock.h"

/* Both halves are changed in one go. What would make less than none of the lower one, where a
 * worker died between two steps, must not take from the upper one: it starts in the middle. */
#define BEGUN (UINT64_C(1) << 32)
#define NONE  (UINT64_C(1) << 31)

/* Where a thread's own things are is also what guards its stack: no page more for each client. */
static _Thread_local struct {
	struct gauge *gauge;
	int wake;
} own;

static uint32_t idle_of(uint64_t flow)
{
	uint32_t low = (uint32_t)flow;

	return low > NONE ? low - (uint32_t)NONE : 0;
}

/* ---- the master's side ---- */

struct gauge *gauge_map(size_t count)
{
	void *map = mmap(NULL, count * sizeof(struct gauge), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return map == MAP_FAILED ? NULL : map;
}

void gauge_reset(struct gauge *g, unsigned low)
{
	atomic_store(&g->armed, 0);
	atomic_store(&g->flow, NONE);
	atomic_store(&g->least, 0);
	atomic_store(&g->low, low);
}

struct gauge_reading gauge_read(struct gauge *g)
{
	uint64_t flow = atomic_load(&g->flow);
	struct gauge_reading r = {.begun = (uint32_t)(flow >> 32), .idle = idle_of(flow)};

	r.least = atomic_exchange(&g->least, r.idle);
	if (r.least > r.idle)
		r.least = r.idle;
	return r;
}

uint32_t gauge_begun(const struct gauge *g)
{
	return (uint32_t)(atomic_load(&g->flow) >> 32);
}

void gauge_set_low(struct gauge *g, unsigned low)
{
	atomic_store(&g->low, low);
}

bool gauge_arm(struct gauge *g, const struct gauge_reading *seen)
{
	uint64_t flow;

	atomic_store(&g->armed, 1);
	flow = atomic_load(&g->flow);
	return (uint32_t)(flow >> 32) == seen->begun || idle_of(flow) >= atomic_load(&g->low);
}

void gauge_disarm(struct gauge *g)
{
	atomic_store(&g->armed, 0);
}

void gauge_correct(struct gauge *g, int by)
{
	atomic_fetch_add(&g->flow, (uint64_t)(int64_t)by);
}

/* ---- a worker's side ---- */

void gauge_use(struct gauge *gauge, int wake)
{
	own.gauge = gauge;
	own.wake = wake;
}

HOT void gauge_give(void)
{
	if (own.gauge)
		atomic_fetch_add(&own.gauge->flow, 1);
}

static void note_least(struct gauge *g, uint32_t idle)
{
	/* Two at once may leave the larger number: it is a hint. */
	if (idle < atomic_load_explicit(&g->least, RELAXED))
		atomic_store_explicit(&g->least, idle, RELAXED);
}

HOT void gauge_take(void)
{
	struct gauge *g = own.gauge;
	uint32_t idle;

	if (!g)
		return;
	idle = idle_of(atomic_fetch_add(&g->flow, BEGUN - 1) + BEGUN - 1);
	note_least(g, idle);
	if (idle < atomic_load_explicit(&g->low, RELAXED) && atomic_load(&g->armed) &&
	    atomic_exchange(&g->armed, 0))
		(void)!write(own.wake, "", 1);
}

void gauge_withdraw(void)
{
	if (own.gauge)
		note_least(own.gauge, idle_of(atomic_fetch_sub(&own.gauge->flow, 1) - 1));
}
