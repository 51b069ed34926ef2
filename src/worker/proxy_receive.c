/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/rules.h"
#include "board/write.h"
#include "worker/loop.h"
#include "worker/proxy.h"

/* How late a byte more of what may become a header is seen. */
#define TICK_MS 10

struct reader {
	int fd;
	bool packets, ended;
	uint64_t deadline;
	size_t size;  /* what has come */
	size_t taken; /* of it, off the socket; the rest is still there */
	unsigned char bytes[PROXY_HEADER_MAX + 1];
};

static bool is_trusted(const struct rules *from, int fd, const struct sockaddr *peer)
{
	struct ucred who;
	socklen_t size = sizeof(who);

	if (peer->sa_family != AF_UNIX)
		return rules_match_address(from, peer);
	/* Its permissions say who may connect; more is asked only where it is wanted. */
	return !rules_has_users(from) ||
	       (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 &&
		rules_match_user(from, who.uid, who.gid));
}

/* A part of what may become a header is there, and stays there: to poll(2) it would be input, at
 * once and again and again. */
static void wait_beside_input(struct reader *r, int ms)
{
	struct pollfd p = {.fd = r->fd, .events = POLLRDHUP};

	if (poll(&p, 1, ms < TICK_MS ? ms : TICK_MS) > 0)
		r->ended = true;
}

/* Returns false when the time is over. */
static bool wait_for_more(struct reader *r)
{
	struct pollfd p = {.fd = r->fd, .events = POLLIN};
	uint64_t now = loop_now();
	int ms;

	if (now >= r->deadline)
		return false;
	ms = (int)((r->deadline - now + 999) / 1000);
	if (r->size > r->taken)
		wait_beside_input(r, ms);
	else
		poll(&p, 1, ms);
	return true;
}

/* Whether so much has come that it can be nothing but a header, whatever comes next. */
static bool is_begun(struct reader *r)
{
	struct proxy_header header;

	r->bytes[r->size] = 0xff;
	return proxy_parse(r->bytes, r->size + 1, &header) != PROXY_NONE;
}

static enum proxy_result parse(struct reader *r, struct proxy_header *header)
{
	enum proxy_result result = proxy_parse(r->bytes, r->size, header);

	if (result == PROXY_MORE && (r->ended || r->packets))
		return is_begun(r) ? PROXY_BAD : PROXY_NONE;
	/* A packet is taken whole. */
	if (result == PROXY_DONE && r->packets && header->size != r->size)
		return PROXY_BAD;
	return result;
}

/* All up to `size`, which was seen to be there. */
static bool take(struct reader *r, size_t size)
{
	while (r->taken < size) {
		ssize_t n = recv(r->fd, r->bytes + r->taken, size - r->taken, MSG_DONTWAIT);

		if (n <= 0)
			return false;
		r->taken += (size_t)n;
	}
	return true;
}

/* Returns CONN_finished with *result, which is not PROXY_MORE. */
static enum connection_field read_header(struct reader *r, struct proxy_header *header,
					 enum proxy_result *result)
{
	do {
		ssize_t n = recv(r->fd, r->bytes + r->taken, sizeof(r->bytes) - r->taken,
				 MSG_PEEK | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			continue;
		if (n < 0)
			return CONN_aborted_error;
		r->size = r->taken + (size_t)n;
		if (n == 0)
			r->ended = true;
		*result = parse(r, header);
		if (*result != PROXY_MORE)
			return CONN_finished;
		/* What is left there takes room that its sender may need for the rest. */
		if (is_begun(r) && !take(r, r->size))
			return CONN_aborted_error;
	} while (wait_for_more(r));
	return CONN_timed_out;
}

static uint64_t time_for(const struct worker_job *job)
{
	uint64_t most =
		job->program ? job->program->connection_timeout_usec : job->connection_timeout_usec;

	return most && most < PROXY_USEC ? most : PROXY_USEC;
}

static void announce(const struct worker_job *job, const struct proxy_header *header,
		     struct sockaddr *peer, socklen_t *len, struct proxy_local *local)
{
	memcpy(peer, &header->source, header->source_len);
	*len = header->source_len;
	slot_set_peer(job->slot, peer, *len);
	if (local) {
		local->address = header->destination;
		local->len = header->destination_len;
	}
}

enum connection_field proxy_receive(const struct worker_job *job, int fd, struct sockaddr *peer,
				    socklen_t *len, struct proxy_local *local)
{
	struct reader r = {.fd = fd};
	enum connection_field outcome;
	enum proxy_result result;
	struct proxy_header header;
	bool required = job->admission->proxy == PROXY_REQUIRE;

	if (job->admission->proxy == PROXY_OFF)
		return CONN_finished;
	if (!is_trusted(job->admission->proxy_from, fd, peer))
		return required ? CONN_refused_proxy : CONN_finished;
	r.packets = job->type == SOCK_SEQPACKET;
	r.deadline = loop_now() + time_for(job);
	outcome = read_header(&r, &header, &result);
	if (outcome != CONN_finished)
		return outcome;
	if (result == PROXY_NONE && !required)
		return CONN_finished;
	if (result != PROXY_DONE)
		return CONN_refused_proxy;
	if (!take(&r, header.size))
		return CONN_aborted_error;
	if (!header.local)
		announce(job, &header, peer, len, local);
	return CONN_finished;
}
