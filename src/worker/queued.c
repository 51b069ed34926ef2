/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <linux/tcp.h> /* libc's tcp_info is too short */
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>

#include "worker/admit.h"
#include "worker/queued.h"

/* An accept() that took so long had nobody to accept. A shorter one may only have been without a
 * CPU. */
#define BLOCKED_USEC UINT64_C(50000)

bool queued_nobody(int listener)
{
	struct pollfd p = {.fd = listener, .events = POLLIN};

	return poll(&p, 1, 0) == 0;
}

void queued_before(struct loop *loop, int listener)
{
	if (!loop->asks_queue)
		return;
	loop->queue = listener;
	loop->saw_empty = queued_nobody(listener);
	loop->accept_usec = loop_now();
}

/* The kernel's time of the last data that was sent: nothing was, so it is that of the handshake. */
uint64_t queued_told(int fd)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0 ||
	    size < offsetof(struct tcp_info, tcpi_last_data_sent) + sizeof(uint32_t))
		return 0;
	return info.tcpi_last_data_sent * UINT64_C(1000);
}

bool queued_is_told(int listener, int type)
{
	socklen_t size = sizeof(int);
	int domain = 0;

	return type == SOCK_STREAM &&
	       getsockopt(listener, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
	       (domain == AF_INET || domain == AF_INET6);
}

/* The time since the queue was last seen empty is the most it can be. The first of all has to be
 * believed. */
static uint64_t most_of_unix(const struct loop *loop, uint32_t pool, uint64_t now)
{
	struct sources *sources = loop->job->admission->sources;
	uint64_t empty = sources_last_empty(sources, pool);
	/* Nobody was there when this worker came to wait: the client came to it. */
	bool came_to_it = loop->saw_empty || now - loop->accept_usec > BLOCKED_USEC || empty == 0;

	if (came_to_it || queued_nobody(loop->queue))
		sources_note_empty(sources, pool, now);
	return came_to_it || now < empty ? 0 : now - empty;
}

static uint64_t of_unix(const struct loop *loop, uint64_t now)
{
	const struct worker_job *job = loop->job;
	struct sources *sources = job->admission->sources;
	uint64_t timeout = job->admission->queue_timeout_usec;
	uint32_t pool = atomic_load_explicit(&loop->master->owners[job->slot_index].pool,
					     memory_order_relaxed);
	uint64_t number = sources_count_accepted(sources, pool), seen;
	uint64_t most = most_of_unix(loop, pool, now);

	if (most <= timeout || !sources_queue_is_known(sources, pool, now - timeout))
		return most;
	seen = sources_seen_waiting(sources, pool, number);
	return seen < now ? now - seen : 0;
}

uint64_t queued_for(const struct loop *loop, const struct entrant *e)
{
	if (e->fd < 0)
		return e->waited_usec;
	if (e->peer->sa_family == AF_INET || e->peer->sa_family == AF_INET6)
		return queued_told(e->fd);
	return of_unix(loop, e->now_usec);
}
