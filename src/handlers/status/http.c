/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/time.h>

#include "handlers/status/answer.h"
#include "handlers/status/http.h"

/* The request line and the headers together; more is refused. */
#define REQUEST_MAX 16384
/* Turns of the library's loop until a connection that was shut down has to be gone. */
#define LAST_TURNS 8

struct http {
	struct MHD_Daemon *daemon;
	const struct board_reader *board;
	bool open; /* the connection that is being served */
	bool answered;
};

/* ---- a request ---- */

static void add_headers(struct MHD_Response *response, const struct answer *answer)
{
	const char *const headers[][2] = {
		{"Content-Type", answer->type},
		{"Content-Security-Policy", answer->policy},
		{"Cache-Control", "no-store"},
		{"X-Content-Type-Options", "nosniff"},
		{"X-Frame-Options", "DENY"},
		{"Referrer-Policy", "no-referrer"},
		{"Cross-Origin-Resource-Policy", "same-origin"},
		{"Connection", "close"},
		{"Allow", answer->allow},
	};

	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
		if (headers[i][1])
			MHD_add_response_header(response, headers[i][0], headers[i][1]);
}

static enum MHD_Result send_answer(struct MHD_Connection *connection, struct answer *answer)
{
	struct MHD_Response *response;
	enum MHD_Result result;

	if (!answer->body)
		return MHD_NO;
	response =
		MHD_create_response_from_buffer(answer->size, answer->body, MHD_RESPMEM_MUST_FREE);
	if (!response) {
		free(answer->body);
		return MHD_NO;
	}
	add_headers(response, answer);
	result = MHD_queue_response(connection, answer->code, response);
	MHD_destroy_response(response);
	return result;
}

static const char *header_of(struct MHD_Connection *connection, const char *name)
{
	return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

/* Called when the headers are there. A body is neither waited for nor read. */
static enum MHD_Result on_request(void *state, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_size, void **context)
{
	struct http *http = state;
	struct answer answer;

	(void)upload, (void)upload_size, (void)context;
	/* The library would see to it, but says the head of that answer twice. */
	if (strcmp(version, "HTTP/1.1") == 0 && !header_of(connection, "Host"))
		answer_bad(&answer, "a request of HTTP/1.1 needs a Host\n");
	else
		answer_make(&answer, http->board, method, url, header_of(connection, "Accept"));
	return send_answer(connection, &answer);
}

static void on_connection(void *state, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode code)
{
	struct http *http = state;

	(void)connection, (void)context;
	http->open = code == MHD_CONNECTION_NOTIFY_STARTED;
}

static void on_completed(void *state, struct MHD_Connection *connection, void **context,
			 enum MHD_RequestTerminationCode code)
{
	struct http *http = state;

	(void)connection, (void)context;
	http->answered = code == MHD_REQUEST_TERMINATED_COMPLETED_OK;
}

/* What the path says, byte for byte: none of ours has a sign that would need another form. */
static size_t keep_escapes(void *state, struct MHD_Connection *connection, char *text)
{
	size_t length = 0;

	(void)state, (void)connection;
	while (text[length])
		length++;
	return length;
}

struct http *http_open(const struct board_reader *board)
{
	struct http *http = calloc(1, sizeof(*http));

	if (!http)
		return NULL;
	http->board = board;
	http->daemon = MHD_start_daemon(MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, on_request, http,
					MHD_OPTION_NOTIFY_CONNECTION, on_connection, http,
					MHD_OPTION_NOTIFY_COMPLETED, on_completed, http,
					MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
					MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)REQUEST_MAX,
					MHD_OPTION_CONNECTION_LIMIT, 1U, MHD_OPTION_END);
	if (http->daemon)
		return http;
	free(http);
	errno = ENOMEM;
	return NULL;
}

void http_close(struct http *http)
{
	if (!http)
		return;
	MHD_stop_daemon(http->daemon);
	free(http);
}

/* ---- a connection ---- */

/* The idle timeout in milliseconds, -1 for none. */
static int idle_timeout(int fd)
{
	struct timeval tv = {0};
	socklen_t len = sizeof(tv);

	if (getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, &len) < 0 ||
	    (tv.tv_sec == 0 && tv.tv_usec == 0) || tv.tv_sec > INT_MAX / 1000 - 1)
		return -1;
	return (int)(tv.tv_sec * 1000 + (tv.tv_usec + 999) / 1000);
}

static short wanted(const fd_set *in, const fd_set *out, int fd)
{
	return (short)((FD_ISSET(fd, in) ? POLLIN : 0) | (FD_ISSET(fd, out) ? POLLOUT : 0));
}

/* Lets the library do what it can. `came`: what poll(2) said, 0 for nothing. */
static void turn(struct http *http, int fd, short came)
{
	fd_set in, out, error;

	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_ZERO(&error);
	if (came & (POLLIN | POLLHUP | POLLERR))
		FD_SET(fd, &in);
	if (came & (POLLOUT | POLLHUP | POLLERR))
		FD_SET(fd, &out);
	MHD_run_from_select(http->daemon, &in, &out, &error);
}

/* Waits until the client sent or took something, and goes on. Returns 0, or -1 with errno. */
static int wait_and_turn(struct http *http, int fd, int timeout)
{
	struct pollfd ready = {.fd = fd};
	fd_set in, out, error;
	MHD_socket highest = -1;
	unsigned long long at_once;
	int n;

	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_ZERO(&error);
	if (MHD_get_fdset(http->daemon, &in, &out, &error, &highest) != MHD_YES) {
		errno = EIO;
		return -1;
	}
	ready.events = wanted(&in, &out, fd);
	if (MHD_get_timeout(http->daemon, &at_once) == MHD_YES && at_once == 0)
		timeout = 0;
	n = poll(&ready, 1, timeout);
	if (n < 0 && errno != EINTR)
		return -1;
	if (n == 0 && timeout != 0) {
		errno = EAGAIN;
		return -1;
	}
	turn(http, fd, n > 0 ? ready.revents : 0);
	return 0;
}

static int run(struct http *http, int fd, int timeout)
{
	while (http->open)
		if (wait_and_turn(http, fd, timeout) < 0)
			return -1;
	if (http->answered)
		return 0;
	/* No HTTP, or it broke off. */
	errno = ECONNRESET;
	return -1;
}

/* The library cannot be told to drop a connection, but it sees the end of one. */
static void drop(struct http *http, int fd)
{
	shutdown(fd, SHUT_RDWR);
	for (int i = 0; i < LAST_TURNS && http->open; i++)
		turn(http, fd, POLLIN | POLLOUT);
}

/* A look that takes nothing: whoever only connects, as some health checks do, is no error. Returns
 * as recv(2). */
static ssize_t first_byte(int fd)
{
	char byte;
	ssize_t n;

	do
		n = recv(fd, &byte, 1, MSG_PEEK);
	while (n < 0 && errno == EINTR);
	return n;
}

/* A second descriptor, which the library closes. */
static int duplicate(int fd)
{
	int second = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (second >= FD_SETSIZE) {
		close(second);
		errno = EMFILE;
		return -1;
	}
	return second;
}

int http_serve(struct http *http, const struct preforkd_client *client)
{
	ssize_t n = first_byte(client->fd);
	int fd, errnum, result;

	if (n <= 0)
		return n < 0 ? -1 : PREFORKD_READ_TO_END;
	fd = duplicate(client->fd);
	if (fd < 0)
		return -1;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	http->open = http->answered = false;
	/* From here on the library closes fd. */
	if (MHD_add_connection(http->daemon, fd, client->peer, client->peer_len) != MHD_YES)
		return -1;
	http->open = true;
	result = run(http, fd, idle_timeout(client->fd));
	errnum = errno;
	if (http->open)
		drop(http, fd);
	errno = errnum;
	return result;
}
