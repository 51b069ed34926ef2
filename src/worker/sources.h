/* SPDX-License-Identifier: ISC */
/*
 * What a service knows of its sources, in memory that all its workers share: how many connections
 * each has, and how fast they come. It has room for SOURCES_MAX; one that has no connection and
 * owes nothing is forgotten first. Lock-free: a worker that dies in the middle holds nobody up.
 *
 * Times are of CLOCK_MONOTONIC.
 */
#ifndef WORKER_SOURCES_H
#define WORKER_SOURCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/parse.h"

#define SOURCES_MAX  65536
#define SOURCES_NONE UINT32_MAX

struct sources;

/* Returns NULL with errno. */
struct sources *sources_new(void);
/* What another process had from sources_descriptor(), by the same preforkd: it goes on with it.
 * Takes the descriptor over, whatever the result. Returns NULL where it is something else. */
struct sources *sources_adopt(int fd, const uint64_t key[2]);
int sources_descriptor(const struct sources *sources, uint64_t key[2]);
size_t sources_size(void);
void sources_free(struct sources *sources);
/* Whether the children that are forked from now on have it; at first they have not. */
void sources_hand_down(struct sources *sources, bool yes);

/* A source's name in here, never 0: that of its IPv4 address, its IPv6 /64, or else of the uid. An
 * IPv4 address has to be unmapped. */
uint64_t sources_tag(const struct sources *sources, const struct sockaddr *peer, uint32_t uid);

/* ---- how fast: buckets that hold as many tokens as the rate has connections in its period ---- */

/* The service's: how many tokens it has. */
uint64_t sources_rate_tokens(const struct sources *sources, const struct rate *rate,
			     uint64_t now_usec);
/* How long until it has so many, at most all that fit, in microseconds. */
uint64_t sources_rate_due(const struct sources *sources, const struct rate *rate, uint64_t tokens,
			  uint64_t now_usec);
/* Takes one, even if there is none yet: the client is to wait for so long. */
uint64_t sources_rate_take(struct sources *sources, const struct rate *rate, uint64_t now_usec);
/* Whether it has a token, and none was taken for so long. */
bool sources_rate_rests(const struct sources *sources, const struct rate *rate, uint64_t now_usec,
			uint64_t usec);
/* It is full again: what was taken at another rate says nothing about this one. */
void sources_rate_reset(struct sources *sources);
/* A source's: takes one if there is one. */
bool sources_pass(struct sources *sources, uint64_t tag, const struct rate *rate,
		  uint64_t now_usec);

/* ---- how many ---- */

/*
 * One more connection of the source. The count is never too low; it is too high when a worker died
 * with connections, so whoever would refuse for it has to count them where the dead are known, and
 * to put it right.
 */
struct source_hold {
	uint32_t entry; /* SOURCES_NONE: there was no room for the source */
	uint64_t word;
};
struct source_hold sources_hold(struct sources *sources, uint64_t tag, uint64_t now_usec);
/* How many there were then, this one included. */
unsigned source_hold_count(const struct source_hold *hold);
/* It has ended. */
void sources_release(struct sources *sources, uint64_t tag, struct source_hold *hold);
/* There were only `count` when they were counted, after sources_release(). Does nothing if
 * anything has happened since. */
void sources_correct(struct sources *sources, uint64_t tag, const struct source_hold *hold,
		     unsigned count);

/* ---- what is said of them ---- */

/* Whether a line about the source may be logged: at most one in a second, and SOURCES_LINES a
 * second of all; then *suppressed lines were not. */
#define SOURCES_LINES 20
bool sources_may_tell(struct sources *sources, uint64_t tag, uint64_t now_usec,
		      unsigned *suppressed);

/* ---- who waits at a pool (by its index on the board) ---- */

/*
 * Clients are numbered as they are accepted, and the first in the queue is accepted first. Whoever
 * knows how many wait at a time knows the number of the last of them.
 */
uint64_t sources_count_accepted(struct sources *sources, uint32_t pool);
/* How many were, so far. */
uint64_t sources_accepted(const struct sources *sources, uint32_t pool);
/* By the master alone: so many were accepted before it looked how many wait. */
void sources_note_queue(struct sources *sources, uint32_t pool, uint64_t accepted, unsigned waiting,
			uint64_t now_usec);
/* Whether the master has looked of late, after `since_usec`. */
bool sources_queue_is_known(const struct sources *sources, uint32_t pool, uint64_t since_usec);
/* When the client of that number was first seen to wait; UINT64_MAX: it was not. */
uint64_t sources_seen_waiting(const struct sources *sources, uint32_t pool, uint64_t number);

/* When nobody waited there, as workers saw it; 0: not known. */
void sources_note_empty(struct sources *sources, uint32_t pool, uint64_t now_usec);
uint64_t sources_last_empty(const struct sources *sources, uint32_t pool);

#endif
