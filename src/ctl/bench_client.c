/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "ctl/bench_client.h"

static enum bench_step fail(struct bench_client *client, enum bench_failure failure, int errnum)
{
	client->failure = failure;
	client->errnum = errnum;
	return BENCH_FAILED;
}

static enum bench_step fail_errno(struct bench_client *client)
{
	return fail(client, bench_failure_of(errno), errno);
}

static bool is_stream(const struct bench_context *context)
{
	return context->settings->address.type == SOCK_STREAM;
}

/* ---- sending */

/* A client that is not interested in being able to send is not woken for it, which every new
 * connection otherwise is. */
static int watch(struct bench_context *context, struct bench_client *client, bool out,
		 int operation)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLRDHUP | EPOLLET | (out ? (uint32_t)EPOLLOUT : 0),
		.data.ptr = client,
	};

	client->watches_out = out;
	return epoll_ctl(context->epoll_fd, operation, client->fd, &event);
}

static bool half_closes(const struct bench_context *context)
{
	switch (context->exchange.mode) {
	case BENCH_ECHO:
	case BENCH_DISCARD:
	case BENCH_REQUEST:
		return !context->settings->keep && !context->settings->datagrams;
	default:
		return false;
	}
}

/* Fails only on a connection that is already broken, which the next receive tells. */
static void half_close(struct bench_client *client)
{
	if (!client->half_closed)
		shutdown(client->fd, SHUT_WR);
	client->half_closed = true;
}

static bool has_sent_all(const struct bench_context *context, const struct bench_client *client)
{
	return client->sent == context->exchange.size;
}

/* Returns 0, or -1 with errno, EAGAIN when the rest must wait. */
static int send_message(struct bench_context *context, struct bench_client *client)
{
	const char *data = "";

	while (!has_sent_all(context, client)) {
		size_t size = bench_exchange_chunk(&context->exchange, client->token, client->sent,
						   &data);
		ssize_t n = send(client->fd, data, size, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		client->sent += (uint64_t)n;
		context->stats->bytes_sent += (uint64_t)n;
	}
	return 0;
}

/* An empty one has no bytes whose number tells that it was sent. */
static int send_datagram(struct bench_context *context, struct bench_client *client)
{
	const char *data = "";
	size_t size = bench_exchange_chunk(&context->exchange, client->token, client->sent, &data);
	ssize_t n;

	if (client->half_closed)
		return 0;
	do
		n = send(client->fd, data, size, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -1;
	client->half_closed = true;
	client->sent = context->exchange.size;
	context->stats->bytes_sent += (uint64_t)n;
	return 0;
}

static int send_more(struct bench_context *context, struct bench_client *client)
{
	if (context->settings->datagrams)
		return send_datagram(context, client);
	if (send_message(context, client) < 0)
		return -1;
	if (half_closes(context))
		half_close(client);
	return 0;
}

/* ---- a new connection */

/* Sends at once what a connection that is there takes, and has epoll tell the rest. */
static enum bench_step first_words(struct bench_context *context, struct bench_client *client)
{
	uint64_t now = bench_now();
	bool waits = false;

	if (!client->connected && context->exchange.size == 0 && !bench_client_is_there(client))
		waits = true;
	else if (send_more(context, client) == 0 || client->sent > 0)
		waits = !has_sent_all(context, client);
	else if (errno == EAGAIN)
		waits = true;
	else
		return fail_errno(client);
	if (!client->connected && (!waits || client->sent > 0))
		bench_client_connected(context, client, now);
	return watch(context, client, waits, EPOLL_CTL_ADD) == 0 ? BENCH_WAIT : fail_errno(client);
}

static enum bench_step begin_connection(struct bench_context *context, struct bench_client *client)
{
	if (bench_client_open(context, client) == 0)
		return first_words(context, client);
	if (errno == EAGAIN && context->settings->address.kind == ADDRESS_UNIX)
		return BENCH_FULL;
	return fail_errno(client);
}

/* On a connection that is kept. */
static enum bench_step next_words(struct bench_context *context, struct bench_client *client)
{
	if (send_more(context, client) == 0)
		return BENCH_WAIT;
	if (errno != EAGAIN)
		return fail_errno(client);
	if (client->watches_out || watch(context, client, true, EPOLL_CTL_MOD) == 0)
		return BENCH_WAIT;
	return fail_errno(client);
}

enum bench_step bench_client_begin(struct bench_context *context, struct bench_client *client)
{
	client->sent = 0;
	client->half_closed = false;
	bench_reply_begin(&context->exchange, &client->reply);
	if (client->fd >= 0)
		return next_words(context, client);
	client->endpoint = atomic_load(&context->shared->endpoint);
	client->connect_begun = client->begun;
	return begin_connection(context, client);
}

enum bench_step bench_client_again(struct bench_context *context, struct bench_client *client)
{
	return begin_connection(context, client);
}

/* ---- the reply */

/* The request is done, and its connection kept or closed. */
static enum bench_step done(const struct bench_context *context, struct bench_client *client)
{
	bool closes = context->exchange.mode == BENCH_HTTP && client->reply.http.closes;

	if (!context->settings->datagrams && (!context->settings->keep || closes))
		bench_client_close(client);
	return BENCH_DONE;
}

static enum bench_step end_of_stream(const struct bench_context *context,
				     struct bench_client *client)
{
	if (bench_reply_end(&context->exchange, &client->reply) != BENCH_WHOLE ||
	    !has_sent_all(context, client))
		return fail(client, BENCH_CLOSED_EARLY, 0);
	bench_client_close(client);
	return BENCH_DONE;
}

static enum bench_step judge(struct bench_context *context, struct bench_client *client,
			     size_t size)
{
	enum bench_verdict verdict = bench_reply_feed(&context->exchange, &client->reply,
						      client->token, context->buffer, size);

	if (verdict == BENCH_BAD)
		return fail(client, BENCH_WRONG_REPLY, 0);
	if (verdict != BENCH_WHOLE || !has_sent_all(context, client))
		return BENCH_WAIT;
	if (context->settings->keep)
		return done(context, client);
	/* Only now: a server that reads lines may take the end for a client that has left. */
	if (context->exchange.mode == BENCH_LINE)
		half_close(client);
	return BENCH_WAIT;
}

static enum bench_step judge_datagram(struct bench_context *context, struct bench_client *client,
				      size_t size)
{
	if (bench_reply_datagram(&context->exchange, client->token, context->buffer, size) ==
	    BENCH_WHOLE)
		return done(context, client);
	return fail(client, BENCH_WRONG_REPLY, 0);
}

/*
 * Reads until there is nothing more, as an edge-triggered event wants it. Of a stream, fewer bytes
 * than there was room for were all, unless its end is there too.
 */
static enum bench_step receive(struct bench_context *context, struct bench_client *client,
			       uint32_t events)
{
	bool more = !is_stream(context) || (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
	enum bench_step step = BENCH_WAIT;

	while (step == BENCH_WAIT) {
		ssize_t n = recv(client->fd, context->buffer, BENCH_BUFFER, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? BENCH_WAIT : fail_errno(client);
		context->stats->bytes_received += (uint64_t)n;
		if (context->settings->datagrams)
			return judge_datagram(context, client, (size_t)n);
		if (n == 0)
			return end_of_stream(context, client);
		step = judge(context, client, (size_t)n);
		if (n < BENCH_BUFFER && !more)
			break;
	}
	return step;
}

/* Nothing was asked: the server has closed, or what it sent will be seen with the next reply. */
static enum bench_step idle_event(struct bench_client *client, uint32_t events)
{
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		bench_client_close(client);
	return BENCH_WAIT;
}

static int socket_error(const struct bench_client *client)
{
	int error = 0;
	socklen_t len = sizeof(error);

	return getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? error : errno;
}

enum bench_step bench_client_event(struct bench_context *context, struct bench_client *client,
				   uint32_t events)
{
	if (!client->active)
		return idle_event(client, events);
	if (!client->connected) {
		if (events & EPOLLERR) {
			errno = socket_error(client);
			return fail_errno(client);
		}
		if (!(events & (EPOLLOUT | EPOLLIN)))
			return BENCH_WAIT;
		bench_client_connected(context, client, bench_now());
	}
	/* A server that broke off has perhaps answered before: that is read first. */
	if (events & EPOLLOUT && send_more(context, client) < 0 && errno != EAGAIN &&
	    !(events & EPOLLIN))
		return fail_errno(client);
	if (!(events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
		return BENCH_WAIT;
	enum bench_step step = receive(context, client, events);
	/* What came with the last reply is not told again. */
	if (step == BENCH_DONE && events & (EPOLLRDHUP | EPOLLHUP))
		bench_client_close(client);
	return step;
}
