/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <stdbool.h>
#include <string.h>

#include "base/hot.h"
#include "board/gauge.h"
#include "board/seqlock.h"
#include "board/write.h"

#define SOURCE_SLOTS 1024

static inline void bump(board_u64 *value, uint64_t by)
{
	/* One writer: a plain add is enough, a locked one would cost more than the rest together.
	 */
	atomic_store_explicit(value, atomic_load_explicit(value, RELAXED) + by, RELAXED);
}

static inline void set_state(struct slot *slot, enum slot_state state, uint64_t now_usec)
{
	atomic_store_explicit(&slot->state, state, RELAXED);
	atomic_store_explicit(&slot->since_usec, now_usec, RELAXED);
}

void slot_ready(struct slot *slot, uint64_t now_usec)
{
	/* First: one that is seen to be ready and does not count as idle is one too few. */
	gauge_give();
	seq_write_begin(&slot->seq);
	set_state(slot, SLOT_IDLE, now_usec);
	seq_write_end(&slot->seq);
}

static inline void set_peer(struct slot *slot, const struct sockaddr *peer, socklen_t len)
{
	uint32_t words[BOARD_PEER_MAX / 4] = {0};

	if (len > BOARD_PEER_MAX)
		len = BOARD_PEER_MAX;
	memcpy(words, peer, len);
	atomic_store_explicit(&slot->peer_len, len, RELAXED);
	for (size_t i = 0; i < BOARD_PEER_MAX / 4; i++)
		atomic_store_explicit(&slot->peer[i], words[i], RELAXED);
}

HOT void slot_begin(struct slot *slot, const struct sockaddr *peer, socklen_t len,
		    uint64_t now_usec)
{
	seq_write_begin(&slot->seq);
	bump(&slot->values[CONN_accepted], 1);
	set_state(slot, SLOT_BUSY, now_usec);
	set_peer(slot, peer, len);
	seq_write_end(&slot->seq);
	gauge_take();
}

/* Where a thread's own things are: as in gauge.c. */
static _Thread_local struct times *own_times;

void times_use(struct times *times)
{
	own_times = times;
}

HOT static void note_time(enum times_kind kind, uint64_t usec)
{
	if (own_times)
		atomic_fetch_add_explicit(&own_times->counts[kind][histogram_bucket(usec)], 1,
					  RELAXED);
}

void times_waited(uint64_t usec)
{
	note_time(TIMES_WAIT, usec);
}

/* A refusal is over at once, and says nothing about how long serving takes. */
static inline bool was_served(enum connection_field outcome)
{
	return outcome == CONN_finished || outcome == CONN_timed_out ||
	       outcome == CONN_aborted_error;
}

HOT void slot_end(struct slot *slot, enum connection_field outcome, uint64_t now_usec)
{
	uint64_t since = atomic_load_explicit(&slot->since_usec, RELAXED);

	seq_write_begin(&slot->seq);
	bump(&slot->values[outcome], 1);
	bump(&slot->values[CONN_busy_usec], now_usec - since);
	set_state(slot, SLOT_IDLE, now_usec);
	seq_write_end(&slot->seq);
	if (was_served(outcome))
		note_time(TIMES_CONNECTION, now_usec - since);
	gauge_give();
}

void slot_set_peer(struct slot *slot, const struct sockaddr *peer, socklen_t len)
{
	seq_write_begin(&slot->seq);
	set_peer(slot, peer, len);
	atomic_store_explicit(&slot->peer_uid, UINT32_MAX, RELAXED);
	seq_write_end(&slot->seq);
}

void slot_set_uid(struct slot *slot, uint32_t uid)
{
	atomic_store_explicit(&slot->peer_uid, uid, RELAXED);
}

/* The words of a sockaddr that say where it is from, less the port: from, and how many. */
static unsigned source_words(const struct slot *slot, unsigned *first)
{
	union {
		uint32_t word;
		sa_family_t family;
	} begin = {.word = atomic_load_explicit(&slot->peer[0], RELAXED)};

	*first = begin.family == AF_INET6 ? 2 : 1;
	return begin.family == AF_INET6 ? 4 : begin.family == AF_INET ? 1 : 0;
}

static bool same_source(const struct slot *a, const struct slot *b)
{
	unsigned first_a, first_b, count = source_words(a, &first_a);

	if (count != source_words(b, &first_b) || first_a != first_b)
		return false;
	for (unsigned i = first_a; i < first_a + count; i++)
		if (atomic_load_explicit(&a->peer[i], RELAXED) !=
		    atomic_load_explicit(&b->peer[i], RELAXED))
			return false;
	return count > 0 || atomic_load_explicit(&a->peer_uid, RELAXED) ==
				    atomic_load_explicit(&b->peer_uid, RELAXED);
}

unsigned slot_count_source(const struct slot *slot, size_t index, const struct master_file *master)
{
	const struct slot *slots = slot - index;
	uint32_t pool = atomic_load_explicit(&master->owners[index].pool, RELAXED);
	uint32_t high = atomic_load_explicit(&master->slots_high, RELAXED);
	unsigned count = 0;

	for (uint32_t i = 0; i < high && i < SOURCE_SLOTS; i++)
		count += atomic_load_explicit(&master->owners[i].pool, RELAXED) == pool &&
			 atomic_load_explicit(&slots[i].state, RELAXED) == SLOT_BUSY &&
			 same_source(slot, &slots[i]);
	return count > 0 ? count : 1;
}

void slot_set_source(struct slot *slot, uint64_t tag)
{
	atomic_store_explicit(&slot->source, tag, memory_order_seq_cst);
}

static bool same_service(const struct master_file *master, uint32_t a, uint32_t b)
{
	return a == b ||
	       (a < BOARD_POOLS && b < BOARD_POOLS &&
		strncmp(master->pools[a].service, master->pools[b].service, BOARD_NAME_MAX) == 0);
}

unsigned slot_count_tag(const struct slot *slot, size_t index, const struct master_file *master,
			uint64_t tag)
{
	const struct slot *slots = slot - index;
	uint32_t pool = atomic_load_explicit(&master->owners[index].pool, RELAXED);
	uint32_t high = atomic_load_explicit(&master->slots_high, RELAXED);
	unsigned count = 0;

	for (uint32_t i = 0; i < high && i < BOARD_SLOTS; i++)
		count += atomic_load_explicit(&slots[i].source, memory_order_seq_cst) == tag &&
			 atomic_load_explicit(&slots[i].state, RELAXED) == SLOT_BUSY &&
			 same_service(master,
				      atomic_load_explicit(&master->owners[i].pool, RELAXED), pool);
	return count;
}

uint64_t slot_count_idle_before(const struct slot *slot, size_t index,
				const struct master_file *master, uint64_t most)
{
	const struct slot *slots = slot - index;
	uint32_t pool = atomic_load_explicit(&master->owners[index].pool, RELAXED);
	uint64_t count = 0;

	for (size_t i = 0; i < index && count < most; i++)
		count += atomic_load_explicit(&slots[i].state, RELAXED) == SLOT_IDLE &&
			 same_service(master,
				      atomic_load_explicit(&master->owners[i].pool, RELAXED), pool);
	return count;
}

void slot_leaving(struct slot *slot)
{
	if (atomic_load_explicit(&slot->state, RELAXED) == SLOT_IDLE)
		gauge_withdraw();
	atomic_store_explicit(&slot->state, SLOT_LEAVING, RELAXED);
}

void slot_count(struct slot *slot, enum connection_field field)
{
	bump(&slot->values[field], 1);
}
