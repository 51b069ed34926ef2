/* SPDX-License-Identifier: ISC */
/* The whole board, or some services of it, copied at one time. */
#ifndef VIEW_SNAPSHOT_H
#define VIEW_SNAPSHOT_H

#include "base/address.h"
#include "board/read.h"

struct snapshot {
	struct instance_view instance;
	struct ledgers_view ledgers;
	struct pool_view *pools;
	uint32_t pool_count;
	struct worker_view *workers; /* their `pool` is an index into pools */
	uint32_t worker_count;
	uint64_t monotonic_usec; /* when it was taken, on both clocks */
	uint64_t realtime_usec;
};

/* services: names, none for all; one that the board does not have is EX_UNAVAILABLE. Returns 0, or
 * -1 with err. To be freed either way. */
int snapshot_take(struct snapshot *snapshot, const struct board_reader *reader,
		  char *const *services, int count, struct error *err);
void snapshot_free(struct snapshot *snapshot);

/* Not where its workers are copies of a program that accepts for itself. */
bool pool_counts_connections(const struct pool_view *pool);
/* A pool that has fewer workers than it should have, or waits before it starts the next. */
bool pool_degraded(const struct pool_view *pool);
/* All workers that it may have serve, and clients wait. */
bool pool_saturated(const struct pool_view *pool);
/* Never once the master is gone: that says more. */
bool snapshot_degraded(const struct snapshot *snapshot);
/* Running, and no pool of the snapshot is degraded. */
bool snapshot_healthy(const struct snapshot *snapshot);

/* How long ago a time of CLOCK_MONOTONIC was; 0 for one that is still to come. */
uint64_t snapshot_age(const struct snapshot *snapshot, uint64_t monotonic_usec);
/* Who the worker serves, for people; "" when nobody. ADDRESS_TEXT_MAX bytes. Returns text. */
const char *worker_client(const struct worker_view *worker, char *text);
const char *worker_state(const struct worker_view *worker);

/* The connections that are open; 0 where a corrupted board says that more ended than began. */
uint64_t view_open(const uint64_t connections[CONNECTION_FIELDS]);
/* The connection fields whose names begin with prefix (`refused`, `aborted`), added up. */
uint64_t view_sum(const uint64_t connections[CONNECTION_FIELDS], const char *prefix);

#endif
