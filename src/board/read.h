/* SPDX-License-Identifier: ISC */
/*
 * Reading the board, by preforkctl and the status handlers: both files mapped read-only. Everything
 * is copied out and checked; a corrupted board gives wrong numbers, never a crash.
 */
#ifndef BOARD_READ_H
#define BOARD_READ_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/error.h"
#include "board/layout.h"

struct board_reader {
	const struct master_head *head;
	const struct master_file *master; /* NULL, as is workers: opened by board_open_head() */
	const struct board_file *workers;
	int lock_fd; /* the open `master`, to ask for its lock */
};

struct instance_view {
	uint32_t pid;
	enum master_state state; /* MASTER_GONE when nobody holds the lock */
	uint64_t started_usec;   /* CLOCK_REALTIME */
	char instance[BOARD_NAME_MAX];
	char version[BOARD_NAME_MAX];
	uint64_t values[INSTANCE_FIELDS];
	uint64_t connections[CONNECTION_FIELDS]; /* pools of now and pools that are gone */
};

struct pool_view {
	char service[BOARD_NAME_MAX];
	char address[BOARD_ADDRESS_MAX];
	char handler[BOARD_NAME_MAX];
	uint64_t values[POOL_FIELDS];
	uint64_t connections[CONNECTION_FIELDS]; /* of workers that are gone, and of those of now */
	uint64_t idle, busy;                     /* workers by what they say they do */
	uint64_t queued, queue_limit;            /* in the kernel; UINT64_MAX: not known */
	uint64_t inode;                          /* of the listening socket, or 0 */
	bool torn; /* a writer was in the way for every try: the numbers may not add up */
	/* Microseconds; the sums are as exact as the buckets. board_read_times() */
	struct histogram times; /* of connections that were served, from accept to end */
	struct histogram waits; /* in the accept queue, of those whose wait is known */
};

struct worker_view {
	uint32_t pid, pool, generation;
	bool leaving;
	uint64_t started_usec; /* CLOCK_MONOTONIC */
	enum slot_state state;
	uint64_t since_usec; /* CLOCK_MONOTONIC */
	uint64_t connections[CONNECTION_FIELDS];
	socklen_t peer_len; /* 0: none yet */
	struct sockaddr_storage peer;
	bool torn;
};

struct ledger_view {
	uint32_t number;  /* of the generation, or of the verdict; 0: there is none */
	uint64_t at_usec; /* CLOCK_REALTIME of its begin */
	uint64_t queued_at_close;
	uint64_t connections[CONNECTION_FIELDS]; /* of workers that are gone, and of those of now */
	uint64_t workers;                        /* those of now */
};

/* What became of connections. */
struct ledgers_view {
	/* The oldest first; the first of all is of all generations before, with the number 0. */
	struct ledger_view generations[BOARD_GENERATIONS + 1];
	size_t generation_count;
	/* For the last reload, upgrade and stop: of the workers that it told to leave. */
	struct ledger_view replaced[VERDICT_KINDS];
	bool torn; /* as in pool_view */
};

struct verdict_view {
	uint32_t begun, finished;
	bool failed;
	uint64_t at_usec;
	char text[BOARD_VERDICT_MAX];
};

/* Maps DIRECTORY/master and DIRECTORY/board. -1 with err: EX_UNAVAILABLE when there is no board,
 * EX_DATAERR for another version or layout. */
int board_open(struct board_reader *reader, const char *directory, struct error *err);
/*
 * Maps the head of DIRECTORY/master alone, whatever the version or layout: enough for the functions
 * up to board_read_verdict(). -1 with err as above, EX_DATAERR for a file that is no board.
 */
int board_open_head(struct board_reader *reader, const char *directory, struct error *err);
void board_close(struct board_reader *reader);

/* True when another file is at DIRECTORY/master by now: what happens next is told there. */
bool board_replaced(const struct board_reader *reader, const char *directory);
/* True when both are boards of one process. */
bool board_same_master(const struct board_reader *one, const struct board_reader *other);
/* True while a master holds the lock of this board. */
bool board_master_lives(const struct board_reader *reader);
/*
 * A pidfd of the master, for a signal: the pid and its start time from `master`, checked against
 * the lock's holder and /proc. -1 with err.
 */
int board_master_pidfd(const struct board_reader *reader, struct error *err);
void board_read_verdict(const struct board_reader *reader, enum verdict_kind kind,
			struct verdict_view *view);

/* What follows needs a reader of board_open(). */
void board_read_instance(const struct board_reader *reader, struct instance_view *view);
/* False when there is no pool (worker) at this index; indexes go up to the count. */
uint32_t board_pool_count(const struct board_reader *reader);
bool board_read_pool(const struct board_reader *reader, uint32_t index, struct pool_view *view);
uint32_t board_worker_count(const struct board_reader *reader);
bool board_read_worker(const struct board_reader *reader, uint32_t index, struct worker_view *view);
void board_read_times(const struct board_reader *reader, uint32_t index, struct pool_view *view);
void board_read_ledgers(const struct board_reader *reader, struct ledgers_view *view);
/* RUNTIMEDIR/INSTANCE, or $XDG_RUNTIME_DIR/preforkd/INSTANCE for a user other than root. Returns 0,
 * or -1 with err. */
int board_default_directory(const char *instance, char *path, size_t room, struct error *err);

#endif
