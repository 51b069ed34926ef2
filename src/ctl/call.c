/* SPDX-License-Identifier: ISC */
/* The verb call: the client. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl/client.h"
#include "ctl/ctl.h"

#define PROMPT "Please enter the message: "

struct call {
	const struct ctl *ctl;
	struct address address;
	struct message message;
	char *memory; /* of the message */
};

/* The arguments, with a blank between two of them. On a stream a line, as one would have typed it;
 * a datagram or a record has an end of its own. */
static int message_of_arguments(struct call *call, int argc, char **argv, struct error *err)
{
	bool newline = call->address.type == SOCK_STREAM && !call->ctl->no_newline;
	size_t size = 0;
	char *end;

	for (int i = 0; i < argc; i++)
		size += strlen(argv[i]) + 1;
	call->memory = end = malloc(size + 1);
	if (!end)
		return error_set(err, EX_OSERR, "out of memory");
	for (int i = 0; i < argc; i++) {
		end = stpcpy(end, argv[i]);
		*end++ = i < argc - 1 ? ' ' : '\n';
	}
	call->message.data = call->memory;
	call->message.size = newline ? size : size - 1;
	return 0;
}

static int ask(struct call *call, struct error *err)
{
	size_t room = 0;

	/* The reply may go to a file, the question may not. */
	FILE *to = isatty(STDOUT_FILENO) ? stdout : stderr;
	fputs(PROMPT, to);
	fflush(to);
	ssize_t n = getline(&call->memory, &room, stdin);
	if (n < 0 && ferror(stdin))
		return error_set(err, EX_IOERR, "standard input: %s", strerror(errno));
	call->message.data = call->memory;
	call->message.size = n > 0 ? (size_t)n : 0;
	return 0;
}

static int read_datagram(struct call *call, struct error *err)
{
	call->memory = fd_read_all(STDIN_FILENO, DATAGRAM_MAX, &call->message.size);
	call->message.data = call->memory;
	if (call->memory)
		return 0;
	if (errno == EFBIG)
		return error_set(err, EX_DATAERR,
				 "standard input: more than the %d bytes of a "
				 "datagram",
				 DATAGRAM_MAX);
	return error_set(err, EX_IOERR, "standard input: %s", strerror(errno));
}

static int get_message(struct call *call, int argc, char **argv, struct error *err)
{
	call->message.fd = -1;
	if (argc > 0)
		return message_of_arguments(call, argc, argv, err);
	if (isatty(STDIN_FILENO))
		return ask(call, err);
	if (call->address.type == SOCK_DGRAM)
		return read_datagram(call, err);
	call->message.fd = STDIN_FILENO;
	return 0;
}

static int check(const struct call *call, struct error *err)
{
	if (call->address.type != SOCK_DGRAM) {
		if (call->ctl->no_reply)
			return error_set(err, EX_USAGE, "--no-reply is for datagrams alone");
		return 0;
	}
	if (call->message.size > DATAGRAM_MAX)
		return error_set(err, EX_DATAERR,
				 "the message of %zu bytes is more than the %d of a datagram",
				 call->message.size, DATAGRAM_MAX);
	return 0;
}

/* Puts what went wrong with one address behind what went wrong with those before. */
static int add_failure(struct error *all, const struct error *one)
{
	if (all->text[0] == '\0')
		return error_set(all, one->code, "%s", one->text);
	return error_set(all, one->code, "%s; %s", all->text, one->text);
}

/* A datagram's server turns out to be missing only when something was sent to it. */
static int try(const struct call *call, struct client *client, struct error *err)
{
	if (client_connect(client, err) < 0)
		return -1;
	if (call->address.type == SOCK_DGRAM)
		return client_datagram(client, &call->message, !call->ctl->no_reply, err);
	return 0;
}

/* Connects to the first server that is there; a datagram that may have arrived is not sent again
 * elsewhere. */
static int try_each(const struct call *call, const struct endpoint *servers, size_t count,
		    struct client *client, struct error *err)
{
	struct error one;

	error_set(err, EX_NOHOST, "%s", "");
	for (size_t i = 0; i < count; i++) {
		client->server = &servers[i];
		if (try(call, client, &one) == 0)
			return 0;
		bool sent = client->fd >= 0 && one.code != EX_UNAVAILABLE;
		fd_close(&client->fd);
		add_failure(err, &one);
		if (sent)
			break;
	}
	return -1;
}

static int talk(const struct call *call, struct error *err)
{
	struct client client = {.timeout_usec = call->ctl->timeout_usec, .fd = -1};
	struct endpoint *servers = NULL;
	size_t count = 0;
	int result;

	if (address_resolve_connect(&call->address, &servers, &count, err) < 0) {
		if (err->code != EX_OSERR)
			err->code = EX_NOHOST;
		return -1;
	}
	result = try_each(call, servers, count, &client, err);
	if (result == 0 && call->address.type != SOCK_DGRAM)
		result = client_stream(&client, &call->message, err);
	fd_close(&client.fd);
	free(servers);
	return result;
}

int call_run(const struct ctl *ctl, int argc, char **argv, struct error *err)
{
	struct call call = {.ctl = ctl};
	int result = -1;

	if (argc == 0)
		return error_set(err, EX_USAGE, "call needs an address, as tcp://HOST:PORT");
	if (address_parse(argv[0], &call.address, err) < 0) {
		err->code = EX_USAGE;
		return -1;
	}
	if (call.address.kind == ADDRESS_SYSTEMD)
		return error_set(err, EX_USAGE,
				 "\"%s\": a client needs the address that the socket is bound to",
				 argv[0]);
	if (get_message(&call, argc - 1, argv + 1, err) == 0 && check(&call, err) == 0)
		result = talk(&call, err);
	free(call.memory);
	return result;
}
