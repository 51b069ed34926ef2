/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/hot.h"
#include "base/address.h"
#include "base/log.h"
#include "board/write.h"
#include "worker/closing.h"
#include "worker/loop.h"
#include "worker/stop.h"
#include "worker/traffic.h"

/* Big enough for every peer that is shown; an autobound Unix name is short. */
union peer {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

static void set_idle_timeout(int fd, uint64_t usec)
{
	struct timeval tv = {.tv_sec = (time_t)(usec / 1000000),
			     .tv_usec = (suseconds_t)(usec % 1000000)};

	/* On the client's socket, never on the listener: there it would end accept(). */
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

static void log_connection(const struct preforkd_client *client, enum connection_field outcome,
			   struct log_about *about)
{
	char peer[ADDRESS_TEXT_MAX];

	about->source = address_format_peer(client->peer, client->peer_len, peer);
	log_event(LOG_LEVEL_INFO, MESSAGE_connection, about, "client %s: %s after %llu.%03llu ms",
		  peer, connection_fields[outcome].name,
		  (unsigned long long)about->duration_usec / 1000,
		  (unsigned long long)about->duration_usec % 1000);
}

HOT static enum connection_field serve(const struct loop *loop,
				       const struct preforkd_client *client)
{
	int result = loop->serve(loop->state, client);

	if (result == 0)
		close_gently(client->fd);
	if (result >= 0)
		return CONN_finished;
	return errno == EAGAIN ? CONN_timed_out : CONN_aborted_error;
}

HOT static void serve_connection(struct loop *loop, int fd, union peer *peer, socklen_t len)
{
	uint64_t begin = loop_now(), end;
	enum connection_field outcome;
	struct log_about about;
	struct preforkd_client client = {
		.fd = fd,
		.type = loop->type,
		.peer = &peer->any,
		.peer_len = len > sizeof(*peer) ? sizeof(*peer) : len,
		.service = loop->job->service,
		.number = ++loop->served,
	};

	if (peer->any.sa_family == AF_INET6)
		client.peer_len = address_unmap(&peer->any, client.peer_len);
	slot_begin(loop->slot, client.peer, client.peer_len, begin);
	if (loop->set_timeout)
		set_idle_timeout(fd, loop->job->idle_timeout_usec);
	outcome = serve(loop, &client);
	if (loop->log)
		traffic_measure(fd, outcome == CONN_finished, &about);
	close(fd);
	end = loop_now();
	slot_end(loop->slot, outcome, end);
	if (loop->log) {
		about.timed = true;
		about.duration_usec = end - begin;
		log_connection(&client, outcome, &about);
	}
}

/* First of the hot functions, and at the start of a page: together they fill just one. */
HOT __attribute__((aligned(4096))) int loop_connections(struct loop *loop)
{
	union peer peer = {.any = {.sa_family = AF_UNSPEC}};

	while (!loop_ends(loop)) {
		socklen_t len = sizeof(peer);
		int fd = accept4(loop->listener, &peer.any, &len, SOCK_CLOEXEC);

		if (fd >= 0)
			serve_connection(loop, fd, &peer, len);
		else if (loop_failed(loop, "accept", errno) < 0)
			return stop_came() ? 0 : -1;
	}
	return 0;
}
