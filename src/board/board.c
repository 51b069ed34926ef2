/* SPDX-License-Identifier: ISC */
/* What is on the board. */
#include <config.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "board/board.h"
#include "board/seqlock.h"

static uint64_t clock_usec(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* ---- the instance ---- */

static void store_add(board_u64 *value, uint64_t count)
{
	atomic_store_explicit(value, atomic_load_explicit(value, RELAXED) + count, RELAXED);
}

void board_set_log_level(struct board *board, unsigned level)
{
	atomic_store_explicit(&board->master->log_level, level, RELAXED);
}

void board_set_state(struct board *board, enum master_state state)
{
	atomic_store_explicit(&board->master->head.state, state, RELAXED);
}

void board_set(struct board *board, enum instance_field field, uint64_t value)
{
	atomic_store_explicit(&board->master->values[field], value, RELAXED);
}

void board_add(struct board *board, enum instance_field field, uint64_t count)
{
	store_add(&board->master->values[field], count);
}

/* ---- pools ---- */

static bool pool_is(const struct pool_record *pool, const char *service, const char *address)
{
	return atomic_load_explicit(&pool->used, RELAXED) && strcmp(pool->service, service) == 0 &&
	       strcmp(pool->address, address) == 0;
}

static void raise_high(board_u32 *high, uint32_t index)
{
	if (atomic_load_explicit(high, RELAXED) <= index)
		atomic_store_explicit(high, index + 1, memory_order_release);
}

int board_pool_open(struct board *board, const char *service, const char *address,
		    const char *handler)
{
	struct master_file *m = board->master;
	int free_index = -1;

	for (int i = BOARD_POOLS - 1; i >= 0; i--) {
		if (pool_is(&m->pools[i], service, address))
			return i;
		if (!atomic_load_explicit(&m->pools[i].used, RELAXED))
			free_index = i;
	}
	if (free_index < 0)
		return -1;
	snprintf(m->pools[free_index].service, BOARD_NAME_MAX, "%s", service);
	snprintf(m->pools[free_index].address, BOARD_ADDRESS_MAX, "%s", address);
	snprintf(m->pools[free_index].handler, BOARD_NAME_MAX, "%s", handler);
	atomic_store_explicit(&m->pools[free_index].used, 1, memory_order_release);
	raise_high(&m->pools_high, (uint32_t)free_index);
	return free_index;
}

void board_pool_set_handler(struct board *board, int pool, const char *handler)
{
	snprintf(board->master->pools[pool].handler, BOARD_NAME_MAX, "%s", handler);
}

/* Zeroes, and no memory. Its workers are gone. */
static void forget_times(struct board *board, int index)
{
	struct pool_times *times = &board->workers->times[index];
	off_t at = (off_t)((char *)times - (char *)board->workers);

	if (fallocate(board->workers_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at,
		      sizeof(*times)) < 0)
		memset(times, 0, sizeof(*times));
}

void board_pool_close(struct board *board, int index)
{
	struct pool_record *pool = &board->master->pools[index];

	seq_write_begin(&pool->seq);
	for (size_t f = 0; f < CONNECTION_FIELDS; f++) {
		store_add(&board->master->gone[f], atomic_load_explicit(&pool->totals[f], RELAXED));
		atomic_store_explicit(&pool->totals[f], 0, RELAXED);
	}
	for (size_t f = 0; f < POOL_FIELDS; f++)
		atomic_store_explicit(&pool->values[f], 0, RELAXED);
	atomic_store_explicit(&pool->inode, 0, RELAXED);
	atomic_store_explicit(&pool->used, 0, RELAXED);
	seq_write_end(&pool->seq);
	forget_times(board, index);
}

void board_pool_set_inode(struct board *board, int pool, uint64_t inode)
{
	atomic_store_explicit(&board->master->pools[pool].inode, inode, RELAXED);
}

struct times *board_pool_times(struct board *board, int pool, int slot)
{
	return &board->workers->times[pool].shards[slot % TIMES_SHARDS];
}

unsigned board_pools_release_unclaimed(struct board *board, const bool claimed[BOARD_POOLS])
{
	uint32_t high = atomic_load_explicit(&board->master->pools_high, RELAXED);
	unsigned released = 0;

	for (uint32_t i = 0; i < high && i < BOARD_POOLS; i++) {
		if (claimed[i] || !atomic_load_explicit(&board->master->pools[i].used, RELAXED))
			continue;
		board_pool_close(board, (int)i);
		released++;
	}
	return released;
}

void board_pool_set(struct board *board, int pool, enum pool_field field, uint64_t value)
{
	atomic_store_explicit(&board->master->pools[pool].values[field], value, RELAXED);
}

void board_pool_add(struct board *board, int pool, enum pool_field field, uint64_t count)
{
	store_add(&board->master->pools[pool].values[field], count);
}

void board_udp_port(struct board *board, unsigned port, int ours)
{
	board_u64 *word = &board->master->udp_ports[port / 64 % 1024];
	uint64_t bit = UINT64_C(1) << (port % 64);

	if (ours)
		atomic_fetch_or_explicit(word, bit, RELAXED);
	else
		atomic_fetch_and_explicit(word, ~bit, RELAXED);
}

/* ---- slots ---- */

int board_slot_take(struct board *board, int pool, uint32_t generation)
{
	struct master_file *m = board->master;
	uint32_t i = atomic_load_explicit(&m->slots_low, RELAXED);

	while (i < BOARD_SLOTS && atomic_load_explicit(&m->owners[i].pool, RELAXED) < BOARD_POOLS)
		i++;
	/* On the board, not in our own memory: a page that is written here is one more for each
	 * worker that was forked before. */
	atomic_store_explicit(&m->slots_low, i, RELAXED);
	if (i == BOARD_SLOTS)
		return -1;
	memset(&board->workers->slots[i], 0, sizeof(struct slot));
	atomic_store_explicit(&board->workers->slots[i].state, SLOT_STARTING, RELAXED);
	atomic_store_explicit(&m->owners[i].word, WORD_SERVE, RELAXED);
	atomic_store_explicit(&m->owners[i].leaving, 0, RELAXED);
	atomic_store_explicit(&m->owners[i].replaced_by, 0, RELAXED);
	atomic_store_explicit(&m->owners[i].pid, 0, RELAXED);
	atomic_store_explicit(&m->owners[i].generation, generation, RELAXED);
	atomic_store_explicit(&m->owners[i].started_usec, clock_usec(CLOCK_MONOTONIC), RELAXED);
	atomic_store_explicit(&m->owners[i].pool, (uint32_t)pool, memory_order_release);
	raise_high(&m->slots_high, i);
	return (int)i;
}

void board_slot_set_pid(struct board *board, int slot, uint32_t pid)
{
	atomic_store_explicit(&board->master->owners[slot].pid, pid, memory_order_release);
}

void board_slot_tell(struct board *board, int slot, enum slot_word word)
{
	atomic_store_explicit(&board->master->owners[slot].leaving, word == WORD_LEAVE, RELAXED);
	atomic_store_explicit(&board->master->owners[slot].word, word, memory_order_seq_cst);
}

void board_slot_set_running(struct board *board, int slot)
{
	atomic_store_explicit(&board->workers->slots[slot].state, SLOT_RUNNING, RELAXED);
}

enum slot_state board_slot_state(const struct board *board, int slot)
{
	uint32_t state = atomic_load_explicit(&board->workers->slots[slot].state, RELAXED);

	return state < SLOT_STATES ? (enum slot_state)state : SLOT_FREE;
}

uint64_t board_slot_since(const struct board *board, int slot)
{
	return atomic_load_explicit(&board->workers->slots[slot].since_usec, RELAXED);
}

uint64_t board_slot_accepted(const struct board *board, int slot)
{
	return atomic_load_explicit(&board->workers->slots[slot].values[CONN_accepted], RELAXED);
}

socklen_t board_slot_peer(const struct board *board, int slot, struct sockaddr_storage *peer)
{
	const struct slot *s = &board->workers->slots[slot];
	socklen_t len = atomic_load_explicit(&s->peer_len, RELAXED);
	uint32_t words[BOARD_PEER_MAX / 4];

	for (size_t i = 0; i < BOARD_PEER_MAX / 4; i++)
		words[i] = atomic_load_explicit(&s->peer[i], RELAXED);
	if (len > BOARD_PEER_MAX)
		len = 0;
	memset(peer, 0, sizeof(*peer));
	memcpy(peer, words, len);
	return len;
}

bool board_slot_late_bytes(const struct board *board, int slot, uint64_t number, uint64_t *in,
			   uint64_t *out)
{
	const struct slot *s = &board->workers->slots[slot];

	*in = atomic_load_explicit(&s->late_in, RELAXED);
	*out = atomic_load_explicit(&s->late_out, RELAXED);
	return atomic_load_explicit(&s->late, memory_order_acquire) == number &&
	       *in != UINT64_MAX && *out != UINT64_MAX;
}

uint64_t board_accepted_by_the_gone(const struct board *board)
{
	const struct master_file *m = board->master;
	uint32_t high = atomic_load_explicit(&m->pools_high, RELAXED);
	uint64_t sum = atomic_load_explicit(&m->gone[CONN_accepted], RELAXED);

	for (uint32_t i = 0; i < high && i < BOARD_POOLS; i++)
		sum += atomic_load_explicit(&m->pools[i].totals[CONN_accepted], RELAXED);
	return sum;
}

int board_slot_fold(struct board *board, int index)
{
	return board_slot_fold_as(board, index, CONN_aborted_death);
}

int board_slot_fold_as(struct board *board, int index, enum connection_field ending)
{
	struct slot_owner *owner = &board->master->owners[index];
	struct slot *slot = &board->workers->slots[index];
	struct pool_record *pool =
		&board->master->pools[atomic_load_explicit(&owner->pool, RELAXED) % BOARD_POOLS];
	uint64_t values[CONNECTION_FIELDS], open;

	for (size_t f = 0; f < CONNECTION_FIELDS; f++)
		values[f] = atomic_load_explicit(&slot->values[f], RELAXED);
	/* A worker has one client at most: more is a slot that was written over. */
	open = board_open_connections(values);
	seq_write_begin(&pool->seq);
	seq_write_begin(&board->master->ledgers_seq);
	if (open <= 1) {
		values[ending] += open;
		for (size_t f = 0; f < CONNECTION_FIELDS; f++)
			store_add(&pool->totals[f], values[f]);
		board_ledger_fold(board, index, values);
	}
	atomic_store_explicit(&owner->pid, 0, RELAXED);
	atomic_store_explicit(&owner->pool, BOARD_POOLS, RELAXED);
	seq_write_end(&board->master->ledgers_seq);
	seq_write_end(&pool->seq);
	if ((uint32_t)index < atomic_load_explicit(&board->master->slots_low, RELAXED))
		atomic_store_explicit(&board->master->slots_low, (uint32_t)index, RELAXED);
	return open > 1 ? -1 : (int)open;
}

int board_slot_adopt(const struct board *board, int slot, uint32_t pid)
{
	const struct slot_owner *owner;
	uint32_t pool;

	if (slot < 0 || slot >= BOARD_SLOTS || pid == 0)
		return -1;
	owner = &board->master->owners[slot];
	pool = atomic_load_explicit(&owner->pool, RELAXED);
	if (pool >= BOARD_POOLS || atomic_load_explicit(&owner->pid, RELAXED) != pid)
		return -1;
	return (int)pool;
}

unsigned board_slots_release_unclaimed(struct board *board, const bool claimed[BOARD_SLOTS])
{
	uint32_t high = atomic_load_explicit(&board->master->slots_high, RELAXED);
	unsigned released = 0;

	for (uint32_t i = 0; i < high && i < BOARD_SLOTS; i++) {
		if (claimed[i] ||
		    atomic_load_explicit(&board->master->owners[i].pool, RELAXED) >= BOARD_POOLS)
			continue;
		board_slot_fold(board, (int)i);
		released++;
	}
	return released;
}

/* ---- verdicts ---- */

uint32_t board_verdict_begin(struct board *board, enum verdict_kind kind)
{
	struct verdict *v = &board->master->head.verdicts[kind];
	uint32_t number = atomic_load_explicit(&v->begun, RELAXED) + 1;

	atomic_store_explicit(&v->begun, number, memory_order_release);
	return number;
}

void board_verdict_finish(struct board *board, enum verdict_kind kind, int failed, const char *text)
{
	struct verdict *v = &board->master->head.verdicts[kind];

	seq_write_begin(&v->seq);
	atomic_store_explicit(&v->finished, atomic_load_explicit(&v->begun, RELAXED), RELAXED);
	atomic_store_explicit(&v->failed, failed != 0, RELAXED);
	atomic_store_explicit(&v->at_usec, clock_usec(CLOCK_REALTIME), RELAXED);
	snprintf(v->text, sizeof(v->text), "%s", text);
	seq_write_end(&v->seq);
}

uint32_t board_verdict_begun(const struct board *board, enum verdict_kind kind)
{
	return atomic_load_explicit(&board->master->head.verdicts[kind].begun, RELAXED);
}

void board_verdict_resume(struct board *board, enum verdict_kind kind, uint32_t number)
{
	struct verdict *v = &board->master->head.verdicts[kind];

	if (number == board_verdict_begun(board, kind))
		return;
	seq_write_begin(&v->seq);
	atomic_store_explicit(&v->begun, number, RELAXED);
	atomic_store_explicit(&v->finished, number - 1, RELAXED);
	seq_write_end(&v->seq);
}
