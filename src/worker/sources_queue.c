/* SPDX-License-Identifier: ISC */
/* Who waits at a pool. */
#include <config.h>

#include "worker/sources.h"
#include "worker/sources_table.h"

uint64_t sources_count_accepted(struct sources *s, uint32_t pool)
{
	return pool < BOARD_POOLS ? atomic_fetch_add(&s->shared->queues[pool].accepted, 1) + 1 : 0;
}

uint64_t sources_accepted(const struct sources *s, uint32_t pool)
{
	return pool < BOARD_POOLS ? atomic_load(&s->shared->queues[pool].accepted) : 0;
}

void sources_note_queue(struct sources *s, uint32_t pool, uint64_t accepted, unsigned waiting,
			uint64_t now_usec)
{
	struct queue *q;
	struct look *look;

	if (pool >= BOARD_POOLS)
		return;
	q = &s->shared->queues[pool];
	look = &q->looks[atomic_fetch_add(&q->next, 1) % QUEUE_LOOKS];
	/* Who reads it meanwhile reads none. */
	atomic_store(&look->usec, 0);
	atomic_store(&look->last, accepted + waiting);
	atomic_store(&look->usec, now_usec);
}

bool sources_queue_is_known(const struct sources *s, uint32_t pool, uint64_t since_usec)
{
	if (pool >= BOARD_POOLS)
		return false;
	for (size_t i = 0; i < QUEUE_LOOKS; i++)
		if (atomic_load(&s->shared->queues[pool].looks[i].usec) > since_usec)
			return true;
	return false;
}

uint64_t sources_seen_waiting(const struct sources *s, uint32_t pool, uint64_t number)
{
	uint64_t first = UINT64_MAX;

	for (size_t i = 0; pool < BOARD_POOLS && i < QUEUE_LOOKS; i++) {
		const struct look *look = &s->shared->queues[pool].looks[i];
		uint64_t usec = atomic_load(&look->usec), last = atomic_load(&look->last);

		if (usec && usec == atomic_load(&look->usec) && last >= number && usec < first)
			first = usec;
	}
	return first;
}

void sources_note_empty(struct sources *s, uint32_t pool, uint64_t now_usec)
{
	if (pool < BOARD_POOLS)
		atomic_store_explicit(&s->shared->queues[pool].empty_usec, now_usec,
				      memory_order_relaxed);
}

uint64_t sources_last_empty(const struct sources *s, uint32_t pool)
{
	return pool < BOARD_POOLS ? atomic_load_explicit(&s->shared->queues[pool].empty_usec,
							 memory_order_relaxed)
				  : 0;
}
