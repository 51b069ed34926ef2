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
#include "worker/admit.h"
#include "worker/loop.h"
#include "worker/overtime.h"
#include "worker/queued.h"
#include "worker/ready.h"
#include "worker/refuse.h"
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

/* A copy for those without access rules and limits, all of it on the one page, and one for those
 * with them. */
#define ONE_OF_TWO static inline __attribute__((always_inline))

/*
 * `e`: the client counts until it can know that it was served; NULL: nobody counts. `keep`: what it
 * still sends is to be read before its descriptor is closed. Unread input would turn the close into
 * a reset, and a reset can eat the reply on its way.
 */
ONE_OF_TWO enum connection_field serve(const struct loop *loop,
				       const struct preforkd_client *client, struct entrant *e,
				       bool *keep)
{
	int result, errnum;

	if (loop->set_timeout)
		set_idle_timeout(client->fd, loop->job->idle_timeout_usec);
	result = loop->serve(loop->state, client);
	errnum = errno;
	if (e)
		admit_end(loop, e);
	if (loop->limited && overtime_came()) {
		overtime_tell(client);
		return CONN_timed_out;
	}
	if (result == 0)
		*keep = shutdown(client->fd, SHUT_WR) == 0;
	if (result >= 0)
		return CONN_finished;
	return errnum == EAGAIN ? CONN_timed_out : CONN_aborted_error;
}

/* Returns the time. Its descriptor is measured, and closed unless it is kept. */
ONE_OF_TWO uint64_t end_connection(const struct loop *loop, const struct preforkd_client *client,
				   enum connection_field outcome, uint64_t begin, bool keep)
{
	struct log_about about;
	uint64_t end;

	if (loop->limited)
		overtime_end();
	if (loop->log)
		traffic_measure(client->fd, outcome == CONN_finished, &about);
	if (!keep)
		close(client->fd);
	end = loop_now();
	slot_end(loop->slot, outcome, end);
	if (loop->log) {
		about.timed = true;
		about.duration_usec = end - begin;
		log_connection(client, outcome, &about);
	}
	return end;
}

ONE_OF_TWO void serve_and_end(const struct loop *loop, const struct preforkd_client *client,
			      struct entrant *e, uint64_t begin)
{
	bool keep = false;
	enum connection_field outcome = serve(loop, client, e, &keep);
	uint64_t end = end_connection(loop, client, outcome, begin, keep);

	if (keep)
		ready_keep(client->fd, end);
}

/* With access rules or limits. */
__attribute__((noinline)) static void serve_if_admitted(const struct loop *loop,
							struct preforkd_client *client,
							union peer *peer, uint64_t begin)
{
	struct entrant e = {
		.fd = client->fd, .peer = &peer->any, .len = client->peer_len, .now_usec = begin};
	enum connection_field outcome = admit(loop, &e);

	client->peer_len = e.len;
	if (outcome == CONN_finished) {
		serve_and_end(loop, client, &e, begin);
		return;
	}
	/* While it was waited for. */
	if (loop->limited && overtime_came())
		outcome = CONN_timed_out;
	refuse_send_off(loop, client->fd);
	ready_keep_refused(client->fd, end_connection(loop, client, outcome, begin, true));
	refuse_tell(loop, &e, outcome);
}

/* A system call for each client would be one too many. */
#define SAMPLE_EVERY 16

__attribute__((noinline)) static void sample_wait(int fd)
{
	times_waited(queued_told(fd));
}

HOT static void serve_connection(struct loop *loop, int fd, union peer *peer, socklen_t len)
{
	uint64_t begin = loop_now();
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
	if (loop->limited)
		overtime_begin(fd, client.number, begin);
	slot_begin(loop->slot, client.peer, client.peer_len, begin);
	if (loop->samples_wait && client.number % SAMPLE_EVERY == 1)
		sample_wait(fd);
	if (loop->admission)
		serve_if_admitted(loop, &client, peer, begin);
	else
		serve_and_end(loop, &client, NULL, begin);
}

/* The next client. With access rules or limits: when it is time for one. */
HOT static int take(struct loop *loop, union peer *peer, socklen_t *len)
{
	if (loop->admission)
		admit_wait(loop, loop->listener);
	return ready_accept(&peer->any, len);
}

/* First of the hot functions, and at the start of a page: together they fill just one. */
HOT __attribute__((aligned(4096))) int loop_connections(struct loop *loop)
{
	union peer peer = {.any = {.sa_family = AF_UNSPEC}};

	while (!loop_ends(loop)) {
		socklen_t len = sizeof(peer);
		int fd = take(loop, &peer, &len);

		if (fd >= 0)
			serve_connection(loop, fd, &peer, len);
		else if (loop_failed(loop, "accept", errno) < 0)
			break;
	}
	ready_finish();
	return loop_ends(loop) || stop_came() ? 0 : -1;
}
