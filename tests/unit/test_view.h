/* SPDX-License-Identifier: ISC */
/* A look at a board that was never there: two pools, one of them of a program that accepts. */
#ifndef TEST_VIEW_H
#define TEST_VIEW_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "view/snapshot.h"

#define NASTY "a\"b\\c\nd<script>&'\xff"

static struct pool_view view_pools[2];
static struct worker_view view_workers[2];
static struct snapshot view;

static inline void make_view(void)
{
	memset(view_pools, 0, sizeof(view_pools));
	memset(view_workers, 0, sizeof(view_workers));
	view = (struct snapshot){.pools = view_pools,
				 .pool_count = 2,
				 .workers = view_workers,
				 .worker_count = 2,
				 .monotonic_usec = 100000000,
				 .realtime_usec = 1700000000000000};
	view.instance.state = MASTER_RUNNING;
	view.instance.started_usec = 1700000000000000 - 5000000;
	snprintf(view.instance.instance, BOARD_NAME_MAX, "main");
	snprintf(view.instance.version, BOARD_NAME_MAX, "1.2");
	snprintf(view_pools[0].service, BOARD_NAME_MAX, "%s", NASTY);
	snprintf(view_pools[0].address, BOARD_ADDRESS_MAX, "tcp://127.0.0.1:7");
	snprintf(view_pools[0].handler, BOARD_NAME_MAX, "echo");
	snprintf(view_pools[1].service, BOARD_NAME_MAX, "web");
	snprintf(view_pools[1].address, BOARD_ADDRESS_MAX, "tcp://127.0.0.1:80");
	snprintf(view_pools[1].handler, BOARD_NAME_MAX, "acceptor");
	view_pools[0].values[POOL_workers_max] = 4;
	view_pools[0].connections[CONN_accepted] = 1234567;
	view_pools[0].connections[CONN_finished] = 1234560;
	view_pools[0].connections[CONN_refused_rate] = 5;
	view_pools[0].connections[CONN_busy_usec] = 2500001;
	view_pools[0].busy = 1;
	view_pools[0].values[POOL_queued] = view_pools[0].values[POOL_queue_limit] = UINT64_MAX;
	view_pools[1].values[POOL_acceptor] = 1;
	view_pools[1].values[POOL_queued] = 3;
	view_workers[0] =
		(struct worker_view){.pid = 11, .state = SLOT_BUSY, .since_usec = 98000000};
	view_workers[1] = (struct worker_view){.pid = 12, .pool = 1, .state = SLOT_RUNNING};
}

/* What a function writes; to be freed. */
#define WRITTEN(text, out, call)                                     \
	do {                                                         \
		size_t size_;                                        \
		FILE *out = /* NOLINT(bugprone-macro-parentheses) */ \
			open_memstream(&(text), &size_);             \
		ck_assert_ptr_nonnull(out);                          \
		call;                                                \
		fclose(out);                                         \
	} while (0)

static inline void has(const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part) != NULL, "no %s in:\n%s", part, text);
}

static inline void has_not(const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part) == NULL, "%s in:\n%s", part, text);
}

#endif
