/* SPDX-License-Identifier: ISC */
/* Snapshots as top gets them, made by hand. */
#ifndef TEST_TOP_H
#define TEST_TOP_H

#include <check.h>
#include <locale.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/top_canvas.h"
#include "ctl/top_columns.h"
#include "ctl/top_keys.h"
#include "ctl/top_screen.h"

#define TEST_WORKERS 1000
#define BEGIN        (1000 * USEC_PER_SEC) /* of the daemon, on both clocks */

/* `pools` fixed pools of 4 workers, called a, b, c …, `seconds` after the begin. */
static inline struct snapshot make_snapshot(uint32_t pools, double seconds)
{
	uint64_t now = BEGIN + (uint64_t)(seconds * (double)USEC_PER_SEC);
	struct snapshot s = {
		.instance = {.pid = 77,
			     .state = MASTER_RUNNING,
			     .started_usec = BEGIN,
			     .instance = "main",
			     .version = "0.1.0"},
		.pools = calloc(pools + 1, sizeof(*s.pools)),
		.pool_count = pools,
		.workers = calloc(TEST_WORKERS, sizeof(*s.workers)),
		.monotonic_usec = now,
		.realtime_usec = now,
	};

	s.instance.values[INSTANCE_generation] = 3;
	for (uint32_t i = 0; i < pools; i++) {
		struct pool_view *pool = &s.pools[i];

		snprintf(pool->service, sizeof(pool->service), i < 26 ? "%c" : "z%u", 'a' + (int)i);
		if (i >= 26)
			snprintf(pool->service, sizeof(pool->service), "z%03u", i);
		snprintf(pool->address, sizeof(pool->address), "tcp://127.0.0.1:%u", 8000 + i);
		snprintf(pool->handler, sizeof(pool->handler), "echo");
		pool->values[POOL_workers_wanted] = pool->values[POOL_workers_ready] =
			pool->values[POOL_workers_max] = 4;
		pool->idle = 4;
	}
	return s;
}

/* Another worker of a pool; port 0: it is idle. */
static inline struct worker_view *add_worker(struct snapshot *s, uint32_t pool, uint16_t port)
{
	struct worker_view *worker = &s->workers[s->worker_count];
	struct sockaddr_in client = {.sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(0x0a000001)};

	*worker = (struct worker_view){.pid = 100 + s->worker_count++,
				       .pool = pool,
				       .generation = 3,
				       .started_usec = BEGIN,
				       .state = port ? SLOT_BUSY : SLOT_IDLE,
				       .since_usec = s->monotonic_usec - USEC_PER_SEC};
	if (!port)
		return worker;
	memcpy(&worker->peer, &client, sizeof(client));
	worker->peer_len = sizeof(client);
	s->pools[pool].busy++;
	s->pools[pool].idle--;
	return worker;
}

static inline void take(struct top_model *model, struct snapshot s)
{
	struct error err;

	ck_assert_int_eq(top_model_take(model, &s, &err), 0);
	ck_assert_ptr_null(s.pools);
}

static inline void init(struct top_model *model)
{
	struct error err;

	ck_assert_ptr_nonnull(setlocale(LC_CTYPE, "C.UTF-8"));
	ck_assert_int_eq(top_model_init(model, "main", USEC_PER_SEC, &err), 0);
}

/* The services (or pids) that are shown, in their order: `a b c`. */
static inline const char *shown(const struct top_model *model)
{
	static char text[4096];
	size_t length = 0;

	text[0] = '\0';
	for (size_t i = 0; i < model->row_count && length < sizeof(text) - 100; i++) {
		uint32_t index = model->rows[i];
		const char *gap = i ? " " : "";

		if (model->view == TOP_POOLS)
			length += (size_t)sprintf(text + length, "%s%s", gap,
						  model->now.pools[index].service);
		else
			length += (size_t)sprintf(text + length, "%s%u", gap,
						  model->now.workers[index].pid);
	}
	return text;
}

static inline void press(struct top_model *model, const char *keys)
{
	for (; *keys; keys++)
		top_press(model, *keys);
}

static inline const char *selected(const struct top_model *model)
{
	int pool = top_pool_selected(model);

	return pool < 0 ? "" : model->now.pools[pool].service;
}

#endif
