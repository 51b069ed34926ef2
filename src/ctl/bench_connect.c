/* SPDX-License-Identifier: ISC */
/* A client's socket, from its making to its end. */
#include <config.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "ctl/bench_client.h"

/* 127.0.0.1 and up: each has all the ephemeral ports once more. Ports that were used lately make
 * the kernel search long, so that the next one has its turn when about half of them are. */
#define SOURCES        8
#define OF_EACH_SOURCE 16384

static const struct endpoint *server_of(const struct bench_context *context,
					const struct bench_client *client)
{
	return &context->settings->endpoints[client->endpoint];
}

void bench_client_close(struct bench_client *client)
{
	fd_close(&client->fd);
	client->connected = false;
	client->watches_out = false;
}

void bench_client_connected(struct bench_context *context, struct bench_client *client,
			    uint64_t now)
{
	client->connected = true;
	context->stats->opened++;
	if (!context->settings->datagrams)
		bench_times_add(&context->stats->connect, now - client->connect_begun);
}

static bool has_other_sources(const struct endpoint *server)
{
	return server->type == SOCK_STREAM && server->addr.any.sa_family == AF_INET &&
	       ntohl(server->addr.in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

static int bind_source(int fd, unsigned source)
{
	struct sockaddr_in from = {.sin_family = AF_INET};
	int on = 1;

	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + source);
	/* Without a port: connect() chooses one that is free for the pair of addresses. */
	if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) < 0)
		return -1;
	return bind(fd, (const struct sockaddr *)&from, sizeof(from));
}

/* An address of the family alone: the kernel picks a free name in the abstract name space. */
static int bind_any_name(int fd)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};

	return bind(fd, (const struct sockaddr *)&name, sizeof(name.sun_family));
}

static int prepare_socket(const struct bench_context *context, const struct endpoint *server,
			  int fd)
{
	int family = server->addr.any.sa_family, on = 1;

	if (family == AF_UNIX)
		return server->type == SOCK_DGRAM ? bind_any_name(fd) : 0;
	if (context->source && has_other_sources(server) && bind_source(fd, context->source) < 0)
		return -1;
	/* The last bytes of a large message would wait for the server's acknowledgement. */
	if (context->settings->keep && server->type == SOCK_STREAM)
		return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return 0;
}

static void next_source(struct bench_context *context)
{
	context->source = (context->source + 1) % SOURCES;
	context->of_source = 0;
}

static int open_socket(const struct bench_context *context, struct bench_client *client)
{
	const struct endpoint *server = server_of(context, client);

	client->fd =
		socket(server->addr.any.sa_family, server->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return client->fd < 0 ? -1 : prepare_socket(context, server, client->fd);
}

/* Returns 0 when it is connected or will be, or -1 with errno. */
static int open_connection(struct bench_context *context, struct bench_client *client)
{
	const struct endpoint *server = server_of(context, client);

	if (client->fd < 0 && open_socket(context, client) < 0)
		return -1;
	if (connect(client->fd, &server->addr.any, server->len) == 0) {
		bench_client_connected(context, client, bench_now());
		return 0;
	}
	return errno == EINPROGRESS ? 0 : -1;
}

int bench_client_open(struct bench_context *context, struct bench_client *client)
{
	bool sources = has_other_sources(server_of(context, client));
	int result;

	if (sources && ++context->of_source > OF_EACH_SOURCE / context->settings->processes)
		next_source(context);
	result = open_connection(context, client);
	if (result < 0 && errno == EADDRNOTAVAIL && sources) {
		next_source(context);
		bench_client_close(client);
		result = open_connection(context, client);
	}
	return result;
}

bool bench_client_is_there(const struct bench_client *client)
{
	struct pollfd fd = {.fd = client->fd, .events = POLLOUT};

	return poll(&fd, 1, 0) == 1 && fd.revents == POLLOUT;
}
