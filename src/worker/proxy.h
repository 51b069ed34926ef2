/* SPDX-License-Identifier: ISC */
/*
 * The PROXY protocol, versions 1 and 2: what a proxy says first of the client it speaks for.
 *
 * A header that announces no address (LOCAL, UNKNOWN, UNSPEC) is of a connection that the proxy
 * makes for itself, a health check as a rule. Datagram and stream are taken alike: it is the source
 * that rules and limits are about.
 */
#ifndef WORKER_PROXY_H
#define WORKER_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "worker/job.h"

/* The longest header that is taken; one of version 1 has 107 bytes at most. */
#define PROXY_HEADER_MAX 4096
/* A peer has so long for all of it, or connection_timeout where that is shorter. */
#define PROXY_USEC UINT64_C(5000000)

enum proxy_result {
	PROXY_MORE, /* it may become a header */
	PROXY_DONE,
	PROXY_NONE, /* it does not begin as a header does */
	PROXY_BAD,
};

struct proxy_header {
	size_t size; /* bytes of the header; what follows is the client's */
	bool local;  /* nothing is announced: the peer is the client */
	int family;  /* AF_INET, AF_INET6 (::ffff:a.b.c.d is AF_INET), AF_UNIX; AF_UNSPEC: local */
	struct sockaddr_storage source, destination;
	socklen_t source_len, destination_len;
};

/* Pure. The first `size` bytes of a connection; fills *header when it returns PROXY_DONE. */
enum proxy_result proxy_parse(const void *bytes, size_t size, struct proxy_header *header);

/* What the client is connected to, as the proxy announced it. */
struct proxy_local {
	socklen_t len; /* 0: nothing was announced, the peer is still who it was */
	struct sockaddr_storage address;
};

/*
 * After accept(): takes the header that job->admission asks for, byte by byte if need be, and not a
 * byte more. The peer is unmapped already; where another one is announced, *peer (with room for a
 * sockaddr_un) and *len become that, in job->slot too, and *local, which may be NULL, the address
 * it is connected to.
 *
 * Returns CONN_finished to go on, or how the connection ends: CONN_refused_proxy, CONN_timed_out,
 * CONN_aborted_error. Waits PROXY_USEC at most, whatever signals come, and then only for those whom
 * proxy_from trusts. Does not allocate.
 */
enum connection_field proxy_receive(const struct worker_job *job, int fd, struct sockaddr *peer,
				    socklen_t *len, struct proxy_local *local);

#endif
