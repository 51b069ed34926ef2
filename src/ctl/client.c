/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/parse.h"
#include "ctl/client.h"

/* More than any datagram of a Unix socket with the default buffers; a larger one is noticed. */
#define REPLY_MAX (256 * 1024)

/* For a client, other than for a daemon that binds, a path that is missing is a server that is
 * not there. */
static int exit_code_of(int errnum)
{
	switch (errnum) {
	case EACCES:
	case EPERM:
		return EX_NOPERM;
	case ECONNRESET:
	case EPIPE:
		return EX_IOERR;
	case EMSGSIZE:
		return EX_DATAERR;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		return EX_OSERR;
	case ETIMEDOUT:
		return EX_TEMPFAIL;
	default:
		return EX_UNAVAILABLE;
	}
}

int client_fail(const struct client *client, int errnum, struct error *err)
{
	char address[ADDRESS_TEXT_MAX], timeout[PARSE_TEXT_MAX];

	endpoint_format(client->server, address);
	/* What the kernel says when SO_SNDTIMEO or SO_RCVTIMEO has passed. */
	if (errnum == EAGAIN || errnum == EINPROGRESS)
		return error_set(err, EX_TEMPFAIL, "%s: no answer within %s", address,
				 format_duration(timeout, client->timeout_usec));
	return error_set(err, exit_code_of(errnum), "%s: %s", address, strerror(errnum));
}

static int set_timeouts(int fd, uint64_t usec)
{
	struct timeval time = {.tv_sec = (time_t)(usec / USEC_PER_SEC),
			       .tv_usec = (suseconds_t)(usec % USEC_PER_SEC)};

	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time)) < 0)
		return -1;
	return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
}

/* An address of the family alone: the kernel picks a free name in the abstract name space. */
static int bind_any_name(int fd)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};

	return bind(fd, (const struct sockaddr *)&name, sizeof(name.sun_family));
}

static int open_socket(const struct client *client)
{
	const struct endpoint *server = client->server;
	int family = server->addr.any.sa_family;
	int fd = socket(family, server->type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (set_timeouts(fd, client->timeout_usec) == 0 &&
	    (family != AF_UNIX || server->type != SOCK_DGRAM || bind_any_name(fd) == 0))
		return fd;
	fd_close(&fd);
	return -1;
}

int client_connect(struct client *client, struct error *err)
{
	int result;

	client->fd = open_socket(client);
	if (client->fd < 0)
		return client_fail(client, errno, err);
	/* A stop and a continue end a wait with a timeout by EINTR. */
	do
		result = connect(client->fd, &client->server->addr.any, client->server->len);
	while (result < 0 && errno == EINTR);
	if (result == 0)
		return 0;
	fd_close(&client->fd);
	return client_fail(client, errno, err);
}

int client_print(const void *data, size_t size, struct error *err)
{
	const char *from = data;
	struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};

	while (size > 0) {
		ssize_t n = write(STDOUT_FILENO, from, size);
		if (n >= 0) {
			from += n;
			size -= (size_t)n;
		} else if (errno == EAGAIN) {
			poll(&out, 1, -1);
		} else if (errno != EINTR) {
			return error_set(err, EX_IOERR, "standard output: %s", strerror(errno));
		}
	}
	return 0;
}

static int receive_reply(const struct client *client, struct error *err)
{
	char reply[REPLY_MAX];
	ssize_t n;

	/* With MSG_TRUNC the size is that of the datagram. */
	do
		n = recv(client->fd, reply, sizeof(reply), MSG_TRUNC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return client_fail(client, errno, err);
	if ((size_t)n > sizeof(reply))
		return client_fail(client, EMSGSIZE, err);
	return client_print(reply, (size_t)n, err);
}

int client_datagram(const struct client *client, const struct message *message, bool reply,
		    struct error *err)
{
	ssize_t n;

	do
		n = send(client->fd, message->data, message->size, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return client_fail(client, errno, err);
	return reply ? receive_reply(client, err) : 0;
}
