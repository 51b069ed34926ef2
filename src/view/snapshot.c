/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "base/parse.h"
#include "view/snapshot.h"

static uint64_t now_of(clockid_t clock)
{
	struct timespec now = {0};

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

static bool wanted(const char *service, char *const *services, int count)
{
	for (int i = 0; i < count; i++)
		if (strcmp(services[i], service) == 0)
			return true;
	return count == 0;
}

/* Pools that are not shown are left out; places[i] tells where the board's pool i went, or that it
 * went nowhere (BOARD_POOLS). */
static void take_pools(struct snapshot *snapshot, const struct board_reader *reader,
		       uint32_t places[BOARD_POOLS], char *const *services, int count)
{
	for (uint32_t i = 0; i < BOARD_POOLS; i++)
		places[i] = BOARD_POOLS;
	for (uint32_t i = 0; i < board_pool_count(reader); i++) {
		struct pool_view *pool = &snapshot->pools[snapshot->pool_count];
		if (!board_read_pool(reader, i, pool) || !wanted(pool->service, services, count))
			continue;
		board_read_times(reader, i, pool);
		places[i] = snapshot->pool_count++;
	}
}

static void take_workers(struct snapshot *snapshot, const struct board_reader *reader,
			 const uint32_t places[BOARD_POOLS])
{
	for (uint32_t i = 0; i < board_worker_count(reader); i++) {
		struct worker_view *worker = &snapshot->workers[snapshot->worker_count];
		if (!board_read_worker(reader, i, worker) || worker->pool >= BOARD_POOLS ||
		    places[worker->pool] == BOARD_POOLS)
			continue;
		worker->pool = places[worker->pool];
		snapshot->worker_count++;
	}
}

static int check_services(const struct snapshot *snapshot, char *const *services, int count,
			  struct error *err)
{
	for (int i = 0; i < count; i++) {
		uint32_t p = 0;
		while (p < snapshot->pool_count &&
		       strcmp(snapshot->pools[p].service, services[i]) != 0)
			p++;
		if (p == snapshot->pool_count)
			return error_set(err, EX_UNAVAILABLE, "no service \"%s\" is running",
					 services[i]);
	}
	return 0;
}

int snapshot_take(struct snapshot *snapshot, const struct board_reader *reader,
		  char *const *services, int count, struct error *err)
{
	uint32_t places[BOARD_POOLS];

	/* The counts may rise meanwhile: room for as many as there can be. */
	*snapshot = (struct snapshot){
		.pools = calloc(BOARD_POOLS, sizeof(*snapshot->pools)),
		.workers = calloc(BOARD_SLOTS, sizeof(*snapshot->workers)),
		.monotonic_usec = now_of(CLOCK_MONOTONIC),
		.realtime_usec = now_of(CLOCK_REALTIME),
	};
	if (!snapshot->pools || !snapshot->workers)
		return error_set(err, EX_OSERR, "out of memory");
	board_read_instance(reader, &snapshot->instance);
	board_read_ledgers(reader, &snapshot->ledgers);
	take_pools(snapshot, reader, places, services, count);
	take_workers(snapshot, reader, places);
	return check_services(snapshot, services, count, err);
}

void snapshot_free(struct snapshot *snapshot)
{
	free(snapshot->pools);
	free(snapshot->workers);
	*snapshot = (struct snapshot){0};
}

bool pool_counts_connections(const struct pool_view *pool)
{
	return pool->values[POOL_acceptor] == 0;
}

bool pool_degraded(const struct pool_view *pool)
{
	return pool->values[POOL_backoff_usec] != 0 || pool->values[POOL_left_over] != 0 ||
	       pool->values[POOL_workers_ready] < pool->values[POOL_workers_wanted];
}

bool pool_saturated(const struct pool_view *pool)
{
	return pool_counts_connections(pool) && pool->values[POOL_workers_max] > 0 &&
	       pool->busy >= pool->values[POOL_workers_max] && pool->queued > 0 &&
	       pool->queued != UINT64_MAX;
}

bool snapshot_degraded(const struct snapshot *snapshot)
{
	if (snapshot->instance.state == MASTER_GONE)
		return false;
	for (uint32_t i = 0; i < snapshot->pool_count; i++)
		if (pool_degraded(&snapshot->pools[i]))
			return true;
	return false;
}

bool snapshot_healthy(const struct snapshot *snapshot)
{
	enum master_state state = snapshot->instance.state;

	return (state == MASTER_RUNNING || state == MASTER_RELOADING) &&
	       !snapshot_degraded(snapshot);
}

uint64_t snapshot_age(const struct snapshot *snapshot, uint64_t monotonic_usec)
{
	return monotonic_usec < snapshot->monotonic_usec ? snapshot->monotonic_usec - monotonic_usec
							 : 0;
}

const char *worker_client(const struct worker_view *worker, char *text)
{
	text[0] = '\0';
	if (worker->state != SLOT_BUSY || worker->peer_len == 0)
		return text;
	return address_format_peer((const struct sockaddr *)&worker->peer, worker->peer_len, text);
}

const char *worker_state(const struct worker_view *worker)
{
	if (worker->leaving)
		return slot_state_names[SLOT_LEAVING];
	return slot_state_names[worker->state];
}

uint64_t view_open(const uint64_t connections[CONNECTION_FIELDS])
{
	uint64_t open = board_open_connections(connections);

	return open <= connections[CONN_accepted] ? open : 0;
}

uint64_t view_sum(const uint64_t connections[CONNECTION_FIELDS], const char *prefix)
{
	uint64_t sum = 0;

	for (int i = 0; i < CONNECTION_FIELDS; i++)
		if (strncmp(connection_fields[i].name, prefix, strlen(prefix)) == 0)
			sum += connections[i];
	return sum;
}
