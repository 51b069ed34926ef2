/* SPDX-License-Identifier: ISC */
/* What sources.h keeps in shared memory; for its own files. */
#ifndef WORKER_SOURCES_TABLE_H
#define WORKER_SOURCES_TABLE_H

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>

#include "board/layout.h"
#include "worker/sources.h"

/* A source is in the one set that its tag names, in any of its ways. */
#define WAYS 8
#define SETS (SOURCES_MAX / WAYS)

#define SAID        256
#define QUEUE_LOOKS 16

typedef _Atomic uint64_t word;

/* Each kind on a cache line of its own: most look-ups need only two of them. */
struct set {
	word tag[WAYS];  /* 0: never used */
	word time[WAYS]; /* nanoseconds: when the source owes nothing any more */
	word held[WAYS]; /* see below */
} __attribute__((aligned(64)));

/* A line was logged for one of the sources that share this. */
struct said {
	word next_usec;
	word suppressed;
};

/* How far the queue went when the master looked. */
struct look {
	word usec; /* 0: none */
	word last; /* the number of the last who waited */
};

struct queue {
	word accepted, empty_usec, next;
	struct look looks[QUEUE_LOOKS];
};

struct shared {
	word rate __attribute__((aligned(64))); /* nanoseconds, as the times of the sources */
	word taken_usec;                        /* when somebody took a token */
	word said_at __attribute__((aligned(64)));
	struct said said[SAID];
	struct queue queues[BOARD_POOLS];
	struct set sets[SETS];
};

/* Each process has its own of this: what others write into the shared memory cannot change it. */
struct sources {
	uint64_t key[2];
	struct shared *shared;
	int fd; /* of that memory, in the master */
};

static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "processes share these words");

#endif
