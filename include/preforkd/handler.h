/* SPDX-License-Identifier: ISC */
/*
 * preforkd/handler.h - the interface between preforkd and what serves a client
 *
 * A module is a shared object that defines
 *
 *	const struct preforkd_handler preforkd_handler = { .abi = PREFORKD_ABI, ... };
 *
 * with serve (a connection), answer (a datagram), or both. The built-in handlers fill the same
 * struct. See preforkd-handler(3).
 */
#ifndef PREFORKD_HANDLER_H
#define PREFORKD_HANDLER_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The number of this interface. A module built for another number is refused. */
#define PREFORKD_ABI 1

/* What serve may return beside 0 and -1: the client was read to the end of its input, so that the
 * close needs no care for unread input. */
#define PREFORKD_READ_TO_END 1

/* Handler flags. */
/* Never answer a datagram from a source port below 1024, a broadcast or multicast address, or a
 * listener of this daemon: two servers that answer each other never stop. */
#define PREFORKD_REFUSE_LOOPS 0x1u
/* Never answer a datagram with more than 512 bytes: the source may be forged. */
#define PREFORKD_SMALL_REPLIES 0x2u
/* serve() waits for nothing: it reads nothing, writes a kilobyte at most and returns. Then only as
 * many workers as there are CPUs (two at least) wait for clients, and the others for their turn. */
#define PREFORKD_PROMPT 0x4u
/* The same of answer(): it waits for nothing. */
#define PREFORKD_PROMPT_ANSWER 0x8u

/* One `key = "value"` of the service's options section. */
struct preforkd_option {
	const char *key;
	const char *value;
};

/* What open() is given; valid until close() returns. */
struct preforkd_setup {
	const char *service;                   /* the service's name */
	const struct preforkd_option *options; /* in the order of the configuration */
	size_t option_count;
};

/* A client that was accepted; valid until serve() returns. preforkd closes fd. */
struct preforkd_client {
	int fd;                      /* blocking; read and write it */
	int type;                    /* SOCK_STREAM or SOCK_SEQPACKET */
	const struct sockaddr *peer; /* IPv4 for a client that came as ::ffff:a.b.c.d */
	socklen_t peer_len;
	const char *service;
	uint64_t number; /* of this connection in this worker, from 1 */
};

/* A datagram that was received; valid until answer() returns. */
struct preforkd_datagram {
	const void *data;
	size_t size;
	const struct sockaddr *peer; /* as above */
	socklen_t peer_len;
	const char *service;
	uint64_t number;
};

struct preforkd_handler {
	uint32_t abi;   /* PREFORKD_ABI */
	uint32_t flags; /* PREFORKD_... above, or 0 */
	const char *name;

	/*
	 * Once in the master for each pool, before its workers are forked: what it loads is shared
	 * by all of them, copy on write. Returns 0 with *state set, or -1 with a text in error
	 * (error_size bytes): the load of the configuration fails with that text. It also runs in
	 * a check of the configuration, so it must leave nothing behind that close() does not undo.
	 */
	int (*open)(const struct preforkd_setup *setup, void **state, char *error,
		    size_t error_size);
	/* In each new worker, after it dropped its privileges. Returns 0, or -1 with errno set. */
	int (*enter)(void *state);
	/*
	 * Serves one connection. Returns 0, PREFORKD_READ_TO_END, or -1 with errno set: EAGAIN (an
	 * idle timeout) is counted as timed_out, anything else as aborted.
	 */
	int (*serve)(void *state, const struct preforkd_client *client);
	/*
	 * Answers one datagram. Returns the size of the reply it wrote into reply (room bytes), 0
	 * for none, or -1 with errno set.
	 */
	ssize_t (*answer)(void *state, const struct preforkd_datagram *datagram, void *reply,
			  size_t room);
	/* In a worker that leaves. */
	void (*leave)(void *state);
	/* In the master, when the last worker of the pool has gone. */
	void (*close)(void *state);

	void *reserved[8];
};

/*
 * recv(2), which is read(2) with less on its way, again after a signal. Returns the count of bytes,
 * 0 at the end of the input, or -1 with errno: EAGAIN is the idle timeout.
 */
static inline ssize_t preforkd_read(int fd, void *buffer, size_t size)
{
	ssize_t n;

	do {
		n = recv(fd, buffer, size, 0);
	} while (n < 0 && errno == EINTR);
	return n;
}

/* send(2) of all of it, again after a signal or a short write. Returns 0, or -1 with errno. */
static inline int preforkd_send(int fd, const void *data, size_t size, int flags)
{
	const char *p = (const char *)data;

	while (size > 0) {
		ssize_t n = send(fd, p, size, MSG_NOSIGNAL | flags);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

/* Writes all of it. Returns 0, or -1 with errno. */
static inline int preforkd_write(int fd, const void *data, size_t size)
{
	return preforkd_send(fd, data, size, 0);
}

/*
 * The same for the last of a reply, when serve() returns right after it: TCP sends it together with
 * the end of the connection, one packet for two. Until then it may be kept back.
 */
static inline int preforkd_write_last(int fd, const void *data, size_t size)
{
	return preforkd_send(fd, data, size, MSG_MORE);
}

/* The value of an option, or fallback when it is not set. */
static inline const char *preforkd_option(const struct preforkd_setup *setup, const char *key,
					  const char *fallback)
{
	for (size_t i = 0; i < setup->option_count; i++) {
		const char *a = setup->options[i].key;
		const char *b = key;

		while (*a && *a == *b) {
			a++;
			b++;
		}
		if (*a == *b)
			return setup->options[i].value;
	}
	return fallback;
}

#ifdef __cplusplus
}
#endif

#endif
