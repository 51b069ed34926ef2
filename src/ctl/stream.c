/* SPDX-License-Identifier: ISC */
/* Both directions of a connection at the same time. */
#include <config.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/parse.h"
#include "ctl/client.h"

#define SEND_MAX    (64 * 1024)  /* a record of a sequenced-packet socket too */
#define RECEIVE_MAX (256 * 1024) /* more than any such record with the default buffers */

struct stream {
	const struct client *client;
	bool records;    /* SOCK_SEQPACKET */
	int input;       /* where the message comes from; -1: all of it is read */
	const char *out; /* what is not sent yet */
	size_t out_size;
	bool half_closed; /* the server was told that this was all */
	bool ended;       /* the server said that this was all */
	int broken;       /* errno of a send that failed: the server takes no more */
	char buffer[SEND_MAX];
};

/* Records are filled, so that their sizes do not depend on how the input came. */
static bool can_send(const struct stream *s)
{
	if (s->records && s->input >= 0 && s->out_size < SEND_MAX)
		return false;
	return s->out_size > 0;
}

static bool can_read(const struct stream *s)
{
	return s->input >= 0 && !can_send(s);
}

static int read_input(struct stream *s, struct error *err)
{
	ssize_t n = read(s->input, s->buffer + s->out_size, SEND_MAX - s->out_size);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n < 0)
		return error_set(err, EX_IOERR, "standard input: %s", strerror(errno));
	if (n == 0)
		s->input = -1;
	s->out = s->buffer;
	s->out_size += (size_t)n;
	return 0;
}

/* A server may have answered before it broke off: what it sent is still read, then it is an error.
 */
static void give_up_sending(struct stream *s, int errnum)
{
	s->broken = errnum;
	s->input = -1;
	s->out_size = 0;
	s->half_closed = true;
}

static void send_some(struct stream *s)
{
	size_t size = s->out_size < SEND_MAX ? s->out_size : SEND_MAX;
	ssize_t n = send(s->client->fd, s->out, size, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n >= 0) {
		s->out += n;
		s->out_size -= (size_t)n;
	} else if (errno != EINTR && errno != EAGAIN) {
		give_up_sending(s, errno);
	}
}

/* Fails only on a connection that is already broken, which the next receive tells. */
static void half_close(struct stream *s)
{
	shutdown(s->client->fd, SHUT_WR);
	s->half_closed = true;
}

static int receive_some(struct stream *s, struct error *err)
{
	char data[RECEIVE_MAX];
	/* On a TCP socket MSG_TRUNC would throw the data away. */
	int flags = MSG_DONTWAIT | (s->records ? MSG_TRUNC : 0);
	ssize_t n = recv(s->client->fd, data, sizeof(data), flags);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n < 0)
		return client_fail(s->client, errno, err);
	if ((size_t)n > sizeof(data))
		return client_fail(s->client, EMSGSIZE, err);
	if (n == 0)
		s->ended = true;
	return client_print(data, (size_t)n, err);
}

/* How long nothing may happen. A slow input is not the server's silence. */
static int patience(const struct stream *s)
{
	uint64_t msec = (s->client->timeout_usec + USEC_PER_MSEC - 1) / USEC_PER_MSEC;

	if (msec == 0 || (can_read(s) && !s->ended))
		return -1;
	return msec < INT_MAX ? (int)msec : INT_MAX;
}

static int silent(struct stream *s, struct error *err)
{
	/* The server closed its side, perhaps both; a sender that has nothing to send cannot tell,
	 * and an input that stays open without a word must not hold the call for ever. */
	if (s->ended && can_read(s) && s->out_size == 0) {
		s->input = -1;
		return 0;
	}
	return client_fail(s->client, EAGAIN, err);
}

static int step(struct stream *s, struct error *err)
{
	short events = (short)((s->ended ? 0 : POLLIN) | (can_send(s) ? POLLOUT : 0));
	/* With a negative descriptor poll() passes over it: a closed peer would wake it for ever.
	 */
	struct pollfd fds[] = {
		{.fd = events ? s->client->fd : -1, .events = events},
		{.fd = can_read(s) ? s->input : -1, .events = POLLIN},
	};
	int count = poll(fds, 2, patience(s));

	if (count == 0)
		return silent(s, err);
	if (count < 0)
		return errno == EINTR ? 0 : error_set(err, EX_OSERR, "poll: %s", strerror(errno));
	if (fds[1].revents && read_input(s, err) < 0)
		return -1;
	if (fds[0].revents && !s->ended && receive_some(s, err) < 0)
		return -1;
	if (fds[0].revents & (POLLOUT | POLLERR | POLLHUP) && can_send(s))
		send_some(s);
	return 0;
}

int client_stream(const struct client *client, const struct message *message, struct error *err)
{
	struct stream s = {
		.client = client,
		.records = client->server->type == SOCK_SEQPACKET,
		.input = message->fd,
		.out = message->data,
		.out_size = message->size,
	};

	while (!s.half_closed || !s.ended) {
		if (s.input < 0 && s.out_size == 0 && !s.half_closed)
			half_close(&s);
		else if (step(&s, err) < 0)
			return -1;
	}
	return s.broken ? client_fail(client, s.broken, err) : 0;
}
