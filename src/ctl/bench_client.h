/* SPDX-License-Identifier: ISC */
/* One client: a connection after another, or one that is kept; driven by events. */
#ifndef CTL_BENCH_CLIENT_H
#define CTL_BENCH_CLIENT_H

#include <sys/queue.h>

#include "ctl/bench.h"
#include "ctl/bench_exchange.h"

#define BENCH_BUFFER 65536

enum bench_step {
	BENCH_WAIT,
	BENCH_DONE,
	BENCH_FAILED,
	BENCH_FULL /* a Unix listener's queue: nothing tells when it has room, try again */
};

struct bench_client {
	TAILQ_ENTRY(bench_client) link; /* free, active or paused */
	TAILQ_ENTRY(bench_client) full_link;
	int fd;      /* -1, or the connection, which may be kept */
	bool active; /* a request is under way */
	bool full;   /* in the list of those */
	bool connected;
	bool half_closed;
	bool watches_out; /* epoll tells when it can send */
	unsigned endpoint;
	uint64_t token;
	uint64_t sent;
	uint64_t from; /* where the latency begins */
	uint64_t begun;
	uint64_t free_since;
	uint64_t connect_begun;
	enum bench_failure failure;
	int errnum; /* of the failure; 0: none */
	struct bench_reply reply;
};
TAILQ_HEAD(bench_clients, bench_client);

/* What the clients of a process share. */
struct bench_context {
	const struct bench_settings *settings;
	struct bench_shared *shared;
	struct bench_stats *stats;
	int epoll_fd;
	unsigned source, of_source; /* which of the loopback addresses; connections from there */
	struct bench_exchange exchange;
	char buffer[BENCH_BUFFER];
};

/* Begins a request, on the kept connection or a new one. */
enum bench_step bench_client_begin(struct bench_context *context, struct bench_client *client);
/* After BENCH_FULL. */
enum bench_step bench_client_again(struct bench_context *context, struct bench_client *client);
/* What epoll told. */
enum bench_step bench_client_event(struct bench_context *context, struct bench_client *client,
				   uint32_t events);

/* The socket alone. bench_client_open() returns 0 when it is connected or will be, or -1 with
 * errno, EAGAIN where the queue of a Unix listener is full. */
int bench_client_open(struct bench_context *context, struct bench_client *client);
void bench_client_connected(struct bench_context *context, struct bench_client *client,
			    uint64_t now);
/* On loopback a connection is there when connect() returns, though that does not say so. */
bool bench_client_is_there(const struct bench_client *client);
void bench_client_close(struct bench_client *client);

#endif
