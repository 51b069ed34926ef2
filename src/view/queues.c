/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/socket_diag.h"
#include "view/queues.h"

static void set_queue(struct pool_view *pool, const struct socket_queue *queue)
{
	pool->values[POOL_queued] = pool->queued = queue->length;
	pool->values[POOL_queue_limit] = pool->queue_limit = queue->limit;
}

/* The inode is that of one socket on the machine: one of the same address is not taken for it. */
static void on_tcp(void *context, const struct socket_queue *queue)
{
	struct snapshot *snapshot = context;

	for (uint32_t i = 0; i < snapshot->pool_count; i++)
		if (snapshot->pools[i].inode == queue->inode)
			set_queue(&snapshot->pools[i], queue);
}

static bool is_of(const struct pool_view *pool, const char *kind)
{
	return pool->inode > 0 && pool->inode <= UINT32_MAX &&
	       strncmp(pool->address, kind, strlen(kind)) == 0;
}

void snapshot_ask_queues(struct snapshot *snapshot)
{
	int diag = socket_diag_open();
	bool tcp = false;

	if (diag < 0)
		return;
	for (uint32_t i = 0; i < snapshot->pool_count; i++) {
		struct pool_view *pool = &snapshot->pools[i];
		struct socket_queue queue = {.inode = (uint32_t)pool->inode};

		tcp = tcp || is_of(pool, "tcp");
		if (is_of(pool, "unix") && socket_diag_unix(diag, &queue) == 0)
			set_queue(pool, &queue);
	}
	if (tcp && socket_diag_tcp(diag, AF_INET, on_tcp, snapshot) == 0)
		socket_diag_tcp(diag, AF_INET6, on_tcp, snapshot);
	close(diag);
}
