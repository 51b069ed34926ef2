/* SPDX-License-Identifier: ISC */
/*
 * Who is served, and when: access, limits, how long a client has waited. Without job->admission
 * nothing of this is called.
 */
#ifndef WORKER_ADMIT_H
#define WORKER_ADMIT_H

#include <stdint.h>
#include <sys/socket.h>

#include "worker/loop.h"
#include "worker/proxy.h"
#include "worker/sources.h"

/* A client on its way to who serves it. */
struct entrant {
	int fd;                /* -1: a datagram's */
	struct sockaddr *peer; /* unmapped; with room for a sockaddr_un, as it may become another */
	socklen_t len;
	uint64_t now_usec;         /* as slot_begin() got it */
	uint64_t waited_usec;      /* in the queue; of a connection admit() finds it */
	struct proxy_local *local; /* what a proxy says it is connected to; NULL: nobody asks */
	bool user_known;           /* of a datagram, before; of a connection admit() asks */
	uid_t uid;
	gid_t gid;

	uint64_t tag; /* of its source, while it counts for per_source; else 0 */
	struct source_hold hold;
};

/*
 * Before accept() on the listener: waits while the service's bucket is empty, with all signals
 * open. Returns at once when a stop comes.
 */
void admit_wait(struct loop *loop, int listener);
/* The same for who waits otherwise: not to accept before that, or to ask again then. */
uint64_t admit_turn(const struct loop *loop, int listener, uint64_t now_usec);

/*
 * After slot_begin(). Returns CONN_finished: to be served, with its source counted until
 * admit_end(). Else how it ends: refused_..., timed_out, aborted_error. Its peer may be another
 * then, which the slot shows. Waits only for a PROXY header, and where `rate` has it come too
 * early. Allocates nothing, logs nothing.
 */
enum connection_field admit(const struct loop *loop, struct entrant *e);
/* Before slot_end(), best before the client can know that it is served; again does no harm. */
void admit_end(const struct loop *loop, struct entrant *e);

#endif
