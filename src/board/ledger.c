/* SPDX-License-Identifier: ISC */
/* What became of connections, by generation and by what their workers left for. */
#include <config.h>

#include <time.h>

#include "board/board.h"
#include "board/seqlock.h"

/* A worker writes for some nanoseconds. */
#define TRIES 200

static void add(board_u64 *value, uint64_t count)
{
	atomic_store_explicit(value, atomic_load_explicit(value, RELAXED) + count, RELAXED);
}

static uint64_t load(const board_u64 *value)
{
	return atomic_load_explicit(value, RELAXED);
}

static void begin(struct ledger *ledger, uint32_t number)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	for (size_t f = 0; f < CONNECTION_FIELDS; f++)
		atomic_store_explicit(&ledger->totals[f], 0, RELAXED);
	atomic_store_explicit(&ledger->queued_at_close, 0, RELAXED);
	atomic_store_explicit(&ledger->at_usec,
			      (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000,
			      RELAXED);
	atomic_store_explicit(&ledger->number, number, RELAXED);
}

/* ---- generations ---- */

/* That of a generation, or of all before. */
static struct ledger *of_generation(struct master_file *m, uint32_t generation)
{
	struct ledger *ledger = &m->generations[1 + generation % BOARD_GENERATIONS];

	if (generation && atomic_load_explicit(&ledger->number, RELAXED) == generation)
		return ledger;
	return &m->generations[0];
}

void board_generation_begin(struct board *board, uint32_t generation)
{
	struct master_file *m = board->master;
	struct ledger *ledger = &m->generations[1 + generation % BOARD_GENERATIONS];
	struct ledger *older = &m->generations[0];

	seq_write_begin(&m->ledgers_seq);
	for (size_t f = 0; f < CONNECTION_FIELDS; f++)
		add(&older->totals[f], load(&ledger->totals[f]));
	add(&older->queued_at_close, load(&ledger->queued_at_close));
	begin(ledger, generation);
	seq_write_end(&m->ledgers_seq);
}

/* ---- what a worker left for ---- */

static struct ledger *of_owner(struct master_file *m, const struct slot_owner *owner)
{
	uint32_t by = atomic_load_explicit(&owner->replaced_by, RELAXED);
	struct ledger *ledger;

	if (by == 0 || by > VERDICT_KINDS)
		return NULL;
	ledger = &m->replaced[by - 1];
	return atomic_load_explicit(&ledger->number, RELAXED) ==
			       atomic_load_explicit(&owner->replaced_number, RELAXED)
		       ? ledger
		       : NULL;
}

void board_replace_begin(struct board *board, enum verdict_kind kind)
{
	struct master_file *m = board->master;

	seq_write_begin(&m->ledgers_seq);
	begin(&m->replaced[kind], board_verdict_begun(board, kind));
	seq_write_end(&m->ledgers_seq);
}

static void copy_slot(const struct slot *slot, uint64_t values[CONNECTION_FIELDS])
{
	for (int i = 0; i < TRIES; i++) {
		uint32_t seq = seq_read_begin(&slot->seq);

		for (size_t f = 0; f < CONNECTION_FIELDS; f++)
			values[f] = load(&slot->values[f]);
		/* One that stays torn is of a worker that stands still. */
		if (!seq_read_retry(&slot->seq, seq))
			return;
	}
}

/* Counters may be anything: of a pair of looks only what makes sense counts. Returns false where
 * none of it does. */
static bool subtract(uint64_t values[CONNECTION_FIELDS], const board_u64 before[CONNECTION_FIELDS])
{
	for (size_t f = 0; f < CONNECTION_FIELDS; f++) {
		if (values[f] < load(&before[f]))
			return false;
		values[f] -= load(&before[f]);
	}
	return board_open_connections(values) <= 1;
}

/* What has ended of it counts where it counted up to now, what is open here. */
static void leave(struct master_file *m, int slot, const uint64_t now[CONNECTION_FIELDS])
{
	struct ledger *ledger = of_owner(m, &m->owners[slot]);
	uint64_t values[CONNECTION_FIELDS];

	for (size_t f = 0; f < CONNECTION_FIELDS; f++)
		values[f] = now[f];
	if (!ledger || !subtract(values, m->before[slot]))
		return;
	values[CONN_accepted] -= board_open_connections(values);
	for (size_t f = 0; f < CONNECTION_FIELDS; f++)
		add(&ledger->totals[f], values[f]);
}

void board_slot_replaced(struct board *board, int slot, enum verdict_kind kind)
{
	struct master_file *m = board->master;
	struct slot_owner *owner = &m->owners[slot];
	uint64_t values[CONNECTION_FIELDS] = {0};

	copy_slot(&board->workers->slots[slot], values);
	seq_write_begin(&m->ledgers_seq);
	leave(m, slot, values);
	values[CONN_accepted] -= board_open_connections(values);
	for (size_t f = 0; f < CONNECTION_FIELDS; f++)
		atomic_store_explicit(&m->before[slot][f], values[f], RELAXED);
	atomic_store_explicit(&owner->replaced_by, (uint32_t)kind + 1, RELAXED);
	atomic_store_explicit(&owner->replaced_number, board_verdict_begun(board, kind), RELAXED);
	seq_write_end(&m->ledgers_seq);
}

/* ---- both ---- */

void board_ledger_queue_cut(struct board *board, uint32_t generation, unsigned by, uint64_t count)
{
	struct master_file *m = board->master;

	seq_write_begin(&m->ledgers_seq);
	add(&of_generation(m, generation)->queued_at_close, count);
	if (by > 0 && by <= VERDICT_KINDS)
		add(&m->replaced[by - 1].queued_at_close, count);
	seq_write_end(&m->ledgers_seq);
}

void board_ledger_fold(struct board *board, int slot, const uint64_t values[CONNECTION_FIELDS])
{
	struct master_file *m = board->master;
	const struct slot_owner *owner = &m->owners[slot];
	struct ledger *ledger = of_owner(m, owner);
	struct ledger *generation =
		of_generation(m, atomic_load_explicit(&owner->generation, RELAXED));
	uint64_t since[CONNECTION_FIELDS];

	for (size_t f = 0; f < CONNECTION_FIELDS; f++) {
		add(&generation->totals[f], values[f]);
		since[f] = values[f];
	}
	if (!ledger || !subtract(since, m->before[slot]))
		return;
	for (size_t f = 0; f < CONNECTION_FIELDS; f++)
		add(&ledger->totals[f], since[f]);
}
