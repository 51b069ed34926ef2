/* SPDX-License-Identifier: ISC */
/* A client's socket, and what it does with it. */
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/error.h"

/* The largest payload of UDP over IPv4. */
#define DATAGRAM_MAX 65507

/* data, or what is read from fd when that is not -1. */
struct message {
	const char *data;
	size_t size;
	int fd;
};

/* A connection to a server; a timeout of 0 is none. */
struct client {
	const struct endpoint *server;
	uint64_t timeout_usec;
	int fd;
};

/*
 * All return 0, or -1 with err, which names the address: EX_UNAVAILABLE for a server that is not
 * there, EX_TEMPFAIL for one that is silent, EX_IOERR for a connection that broke, EX_DATAERR for a
 * message that is too large.
 */

/* Opens and connects client->fd. A Unix datagram socket gets a name, for the reply to come to. */
int client_connect(struct client *client, struct error *err);
/* Sends the message, half-closes, and copies to stdout what comes until the server has closed, both
 * at the same time. */
int client_stream(const struct client *client, const struct message *message, struct error *err);
/* Sends one datagram (data, not fd) and with `reply` copies the next that comes to stdout. */
int client_datagram(const struct client *client, const struct message *message, bool reply,
		    struct error *err);

/* The same for any failure of a socket call: err from errno. Returns -1. */
int client_fail(const struct client *client, int errnum, struct error *err);
/* Writes all of it to stdout, which may be nonblocking. Returns 0, or -1 with err. */
int client_print(const void *data, size_t size, struct error *err);

#endif
