/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <string.h>

#include "base/hot.h"
#include "board/seqlock.h"
#include "board/write.h"

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
	seq_write_begin(&slot->seq);
	set_state(slot, SLOT_IDLE, now_usec);
	seq_write_end(&slot->seq);
}

HOT void slot_begin(struct slot *slot, const struct sockaddr *peer, socklen_t len,
		    uint64_t now_usec)
{
	uint32_t words[BOARD_PEER_MAX / 4] = {0};

	if (len > BOARD_PEER_MAX)
		len = BOARD_PEER_MAX;
	memcpy(words, peer, len);
	seq_write_begin(&slot->seq);
	bump(&slot->values[CONN_accepted], 1);
	set_state(slot, SLOT_BUSY, now_usec);
	atomic_store_explicit(&slot->peer_len, len, RELAXED);
	for (size_t i = 0; i < BOARD_PEER_MAX / 4; i++)
		atomic_store_explicit(&slot->peer[i], words[i], RELAXED);
	seq_write_end(&slot->seq);
}

HOT void slot_end(struct slot *slot, enum connection_field outcome, uint64_t now_usec)
{
	uint64_t since = atomic_load_explicit(&slot->since_usec, RELAXED);

	seq_write_begin(&slot->seq);
	bump(&slot->values[outcome], 1);
	bump(&slot->values[CONN_busy_usec], now_usec - since);
	set_state(slot, SLOT_IDLE, now_usec);
	seq_write_end(&slot->seq);
}

void slot_leaving(struct slot *slot)
{
	atomic_store_explicit(&slot->state, SLOT_LEAVING, RELAXED);
}

void slot_count(struct slot *slot, enum connection_field field)
{
	bump(&slot->values[field], 1);
}
