/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <string.h>

#include "board/read.h"
#include "board/seqlock.h"

#define READ_TRIES 200

static void copy_ledger(const struct ledger *ledger, struct ledger_view *view)
{
	*view = (struct ledger_view){
		.number = atomic_load_explicit(&ledger->number, RELAXED),
		.at_usec = atomic_load_explicit(&ledger->at_usec, RELAXED),
		.queued_at_close = atomic_load_explicit(&ledger->queued_at_close, RELAXED),
	};
	for (size_t f = 0; f < CONNECTION_FIELDS; f++)
		view->connections[f] = atomic_load_explicit(&ledger->totals[f], RELAXED);
}

static void add_worker(struct ledger_view *view, const uint64_t values[CONNECTION_FIELDS])
{
	view->workers++;
	for (size_t f = 0; f < CONNECTION_FIELDS; f++)
		view->connections[f] += values[f];
}

static struct ledger_view *of_generation(struct ledgers_view *view, uint32_t generation)
{
	struct ledger_view *ledger = &view->generations[1 + generation % BOARD_GENERATIONS];

	return generation && ledger->number == generation ? ledger : &view->generations[0];
}

/* What it counted since it was told to leave. Returns false where that makes no sense. */
static bool since_told(const struct board_reader *reader, uint32_t index,
		       uint64_t values[CONNECTION_FIELDS])
{
	for (size_t f = 0; f < CONNECTION_FIELDS; f++) {
		uint64_t before = atomic_load_explicit(&reader->master->before[index][f], RELAXED);

		if (values[f] < before)
			return false;
		values[f] -= before;
	}
	return board_open_connections(values) <= 1;
}

static void take_worker(const struct board_reader *reader, uint32_t index,
			struct ledgers_view *view)
{
	const struct slot_owner *owner = &reader->master->owners[index];
	uint32_t by = atomic_load_explicit(&owner->replaced_by, RELAXED);
	uint32_t number = atomic_load_explicit(&owner->replaced_number, RELAXED);
	struct worker_view worker;

	if (!board_read_worker(reader, index, &worker))
		return;
	view->torn |= worker.torn;
	/* As it will be when it is reaped: what makes no sense is dropped. */
	if (board_open_connections(worker.connections) > 1)
		return;
	add_worker(of_generation(view, worker.generation), worker.connections);
	if (by > 0 && by <= VERDICT_KINDS && view->replaced[by - 1].number == number &&
	    since_told(reader, index, worker.connections))
		add_worker(&view->replaced[by - 1], worker.connections);
}

static void read_all(const struct board_reader *reader, struct ledgers_view *view)
{
	const struct master_file *m = reader->master;

	view->torn = false;
	for (size_t i = 0; i <= BOARD_GENERATIONS; i++)
		copy_ledger(&m->generations[i], &view->generations[i]);
	for (size_t i = 0; i < VERDICT_KINDS; i++)
		copy_ledger(&m->replaced[i], &view->replaced[i]);
	for (uint32_t i = 0; i < board_worker_count(reader); i++)
		take_worker(reader, i, view);
}

/* Those that are used, the oldest first; that of all before only if it holds something. */
static void sort(struct ledgers_view *view)
{
	struct ledger_view *g = view->generations;
	size_t count = 0;

	for (size_t i = 0; i <= BOARD_GENERATIONS; i++) {
		struct ledger_view one = g[i];
		size_t at = count;

		if (i > 0 ? one.number == 0 : one.connections[CONN_accepted] == 0)
			continue;
		for (; at > 0 && g[at - 1].number > one.number; at--)
			g[at] = g[at - 1];
		g[at] = one;
		count++;
	}
	view->generation_count = count;
}

void board_read_ledgers(const struct board_reader *reader, struct ledgers_view *view)
{
	bool moved = true;

	for (int i = 0; i < READ_TRIES && moved; i++) {
		uint32_t seq = seq_read_begin(&reader->master->ledgers_seq);

		read_all(reader, view);
		moved = seq_read_retry(&reader->master->ledgers_seq, seq);
	}
	view->torn |= moved;
	sort(view);
}
