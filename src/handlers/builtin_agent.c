/* SPDX-License-Identifier: ISC */
/*
 * agent: what HAProxy's agent-check asks for. Each connection is told in a line how much of the
 * daemon is free: `up 75%`. The server speaks first; what agent-send makes HAProxy say is not read.
 *
 * `drain` sets a state in HAProxy that only `ready` takes back, and `ready` takes back what an
 * operator did there by hand as well. So it is said only for a while after a start, which is when a
 * drain of ours is to be ended; with `ready = "0"` a stop is told by a weight of 0 %, which has the
 * same effect and is taken back by the next weight.
 */
#include <config.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/parse.h"
#include "handlers/board_access.h"
#include "handlers/builtin.h"

#define SEPARATORS " \t,"
#define LINE_MAX   128
/* A share of HAProxy's `weight`: of 100 it is the least that is not 0, which would be a drain. */
#define MINIMUM_DEFAULT "1"
#define READY_DEFAULT   "1m"

struct agent {
	char *services; /* each ended by a NUL, and the last by another; NULL: all */
	uint64_t minimum;
	uint64_t ready_usec;
};

/* ---- options ---- */

static char *split(const char *list)
{
	char *names = calloc(1, strlen(list) + 2);
	size_t used = 0;

	while (names && *(list += strspn(list, SEPARATORS))) {
		size_t size = strcspn(list, SEPARATORS);

		memcpy(names + used, list, size);
		used += size + 1;
		list += size;
	}
	return names;
}

__attribute__((format(printf, 3, 4))) static int fail(char *error, size_t room, const char *format,
						      ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, room, format, args);
	va_end(args);
	return -1;
}

static int set_services(struct agent *agent, const struct preforkd_setup *setup, char *error,
			size_t room)
{
	const char *list = preforkd_option(setup, "service", NULL);

	if (!list)
		return 0;
	agent->services = split(list);
	if (!agent->services)
		return fail(error, room, "out of memory");
	return agent->services[0] ? 0 : fail(error, room, "service: no name in it");
}

static int set(struct agent *agent, const struct preforkd_setup *setup, char *error, size_t room)
{
	const char *minimum = preforkd_option(setup, "minimum", MINIMUM_DEFAULT);
	const char *ready = preforkd_option(setup, "ready", READY_DEFAULT);

	if (parse_uint(minimum, 1, 100, &agent->minimum) < 0)
		return fail(error, room, "minimum: \"%s\" is no number from 1 to 100", minimum);
	if (parse_duration(ready, &agent->ready_usec) < 0)
		return fail(error, room, "ready: \"%s\" is no duration; write 30s, 1m, or 0",
			    ready);
	return set_services(agent, setup, error, room);
}

static void agent_close(void *state)
{
	struct agent *agent = state;

	if (agent)
		free(agent->services);
	free(agent);
}

static int agent_open(const struct preforkd_setup *setup, void **state, char *error,
		      size_t error_size)
{
	static const char *const known[] = {"service", "minimum", "ready"};
	struct agent *agent;

	if (builtin_options_check(setup, known, 3, error, error_size) < 0)
		return -1;
	agent = calloc(1, sizeof(*agent));
	if (!agent)
		return fail(error, error_size, "out of memory");
	if (set(agent, setup, error, error_size) < 0) {
		agent_close(agent);
		return -1;
	}
	*state = agent;
	return 0;
}

/* ---- the board ---- */

struct load {
	uint32_t seen;  /* pools whose clients are seen */
	uint32_t pools; /* and all */
	uint64_t ready; /* workers that take clients, of any of them */
	bool may_grow, degraded;
	unsigned idle; /* per cent, of the fullest pool */
};

static uint64_t get(const board_u64 *value)
{
	return atomic_load_explicit(value, memory_order_relaxed);
}

static bool is_wanted(const struct agent *agent, const struct pool_record *pool)
{
	/* Who asks is served by one of them: it would count itself. */
	if (!agent->services)
		return strcmp(pool->handler, "agent") != 0 && strcmp(pool->handler, "status") != 0;
	for (const char *name = agent->services; *name; name += strlen(name) + 1)
		if (strncmp(name, pool->service, sizeof(pool->service)) == 0)
			return true;
	return false;
}

/* By one pass over the workers: a look for each pool would cost pools times workers. */
static void count_busy(const struct board_reader *board, uint16_t busy[BOARD_POOLS])
{
	uint32_t count = board_worker_count(board);

	for (uint32_t i = 0; i < count; i++) {
		const struct slot_owner *owner = &board->master->owners[i];
		uint32_t pool = atomic_load_explicit(&owner->pool, memory_order_acquire);

		/* One that leaves has its client beside those of workers_max. */
		if (pool < BOARD_POOLS &&
		    !atomic_load_explicit(&owner->leaving, memory_order_relaxed))
			busy[pool] += atomic_load_explicit(&board->workers->slots[i].state,
							   memory_order_relaxed) == SLOT_BUSY;
	}
}

/* In per cent of the workers it may have. One that cannot get its workers has those that are ready.
 */
static unsigned idle_share(uint64_t most, uint64_t may_be, uint64_t busy)
{
	if (most == 0 || busy >= may_be)
		return 0;
	return (unsigned)(((may_be < most ? may_be : most) - busy) * 100 / most);
}

static void add_pool(struct load *load, const struct pool_record *pool, uint64_t busy)
{
	uint64_t ready = get(&pool->values[POOL_workers_ready]);
	uint64_t most = get(&pool->values[POOL_workers_max]);
	bool degraded = get(&pool->values[POOL_backoff_usec]) ||
			get(&pool->values[POOL_left_over]) ||
			ready < get(&pool->values[POOL_workers_wanted]);
	unsigned idle = idle_share(most, degraded ? ready : most, busy);

	load->pools++;
	load->ready += ready;
	load->degraded = load->degraded || degraded;
	load->may_grow = load->may_grow || !degraded;
	if (get(&pool->values[POOL_acceptor]))
		return;
	if (load->seen++ == 0 || idle < load->idle)
		load->idle = idle;
}

static struct load read_load(const struct agent *agent, const struct board_reader *board)
{
	uint16_t busy[BOARD_POOLS] = {0};
	uint32_t count = board_pool_count(board);
	struct load load = {0};

	count_busy(board, busy);
	for (uint32_t i = 0; i < count; i++) {
		const struct pool_record *pool = &board->master->pools[i];

		if (atomic_load_explicit(&pool->used, memory_order_acquire) &&
		    is_wanted(agent, pool))
			add_pool(&load, pool, busy[i]);
	}
	return load;
}

/* ---- the answer ---- */

static bool has_just_started(const struct agent *agent, const struct board_reader *board)
{
	uint64_t started = get(&board->master->started_usec), now;
	struct timespec time;

	clock_gettime(CLOCK_REALTIME, &time);
	now = (uint64_t)time.tv_sec * USEC_PER_SEC + (uint64_t)time.tv_nsec / 1000;
	return now >= started && now - started < agent->ready_usec;
}

static bool is_stopping(const struct board_reader *board)
{
	uint32_t state = atomic_load_explicit(&board->head->state, memory_order_relaxed);

	return state == MASTER_STOPPING || state == MASTER_GONE;
}

static int write_line(const struct agent *agent, const struct board_reader *board, char *line)
{
	struct load load = {0};
	const char *ready;
	char weight[16] = "";

	if (is_stopping(board))
		return snprintf(line, LINE_MAX, "%s\n", agent->ready_usec ? "drain" : "up 0%");
	load = read_load(agent, board);
	if (load.pools == 0)
		return snprintf(line, LINE_MAX, "down #no such service\n");
	if (load.ready == 0 && !load.may_grow)
		return snprintf(line, LINE_MAX, "down #no worker is ready\n");
	/* Of copies of a program nothing is seen: HAProxy leaves the weight as it is. */
	if (load.seen)
		snprintf(weight, sizeof(weight), " %u%%",
			 load.idle > agent->minimum ? load.idle : (unsigned)agent->minimum);
	ready = has_just_started(agent, board) ? " ready" : "";
	return snprintf(line, LINE_MAX, "up%s%s%s\n", ready, weight,
			load.degraded ? " #degraded" : "");
}

static int agent_serve(void *state, const struct preforkd_client *client)
{
	const struct board_reader *board = handler_board();
	char line[LINE_MAX];

	if (!board) {
		errno = ENODATA;
		return -1;
	}
	return preforkd_write_last(client->fd, line, (size_t)write_line(state, board, line));
}

const struct preforkd_handler builtin_agent = {
	.abi = PREFORKD_ABI,
	.flags = PREFORKD_PROMPT,
	.name = "agent",
	.open = agent_open,
	.serve = agent_serve,
	.close = agent_close,
};
