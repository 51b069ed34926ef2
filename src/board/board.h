/* SPDX-License-Identifier: ISC */
/* The master's side of the board: its files, pools, slots and verdicts. */
#ifndef BOARD_BOARD_H
#define BOARD_BOARD_H

#include <stdbool.h>

#include <sys/socket.h>

#include "base/error.h"
#include "board/layout.h"

struct board {
	struct master_file *master;
	struct board_file *workers;
	/*
	 * All three close-on-exec, the workers close what is not theirs. POSIX gives the lock back
	 * when any descriptor of `master` is closed, so neither of those two is while the master
	 * lives.
	 */
	int master_fd;   /* holds the lock */
	int workers_fd;  /* of `board` */
	int readonly_fd; /* for the workers' read-only mapping of `master` */
	char *directory;
};

/*
 * Makes the runtime directory if it is missing, takes the lock and puts new files in place of old
 * ones. EX_UNAVAILABLE: another master holds the lock; EX_NOPERM, EX_OSERR.
 */
int board_create(struct board *board, const char *directory, const char *instance,
		 struct error *err);
/*
 * Whether the three descriptors stay open when the master executes itself anew; the lock is kept
 * that way. Returns 0, or -1 with err, and then all are close-on-exec.
 */
int board_set_inheritable(struct board *board, bool inheritable, struct error *err);
/*
 * The board of this very process before it executed itself anew, from its descriptors, which become
 * close-on-exec. 1: adopted with all that it holds; only the version is the new one's. 0: it is of
 * another layout: the descriptors stay the caller's, who closes them after board_create(), which
 * puts new files in the place of the old ones without a moment in which nobody holds the lock, with
 * the old one's verdicts: their numbers go on. -1 with err: the files are gone, cut or not this
 * process's; the descriptors stay the caller's.
 */
int board_adopt(struct board *board, const char *directory, int master_fd, int workers_fd,
		int readonly_fd, struct error *err);
/* Removes both files and gives the lock back. */
void board_remove(struct board *board);

/* What every process of the instance logs. */
void board_set_log_level(struct board *board, unsigned level);
void board_set_state(struct board *board, enum master_state state);
void board_set(struct board *board, enum instance_field field, uint64_t value);
void board_add(struct board *board, enum instance_field field, uint64_t count);

/* The pool record of a service and address, made if it is new. Returns its index, or -1: the table
 * is full. */
int board_pool_open(struct board *board, const char *service, const char *address,
		    const char *handler);
/* Another handler serves there from now on. */
void board_pool_set_handler(struct board *board, int pool, const char *handler);
/* Folds a pool's totals into the instance's and frees the record. */
void board_pool_close(struct board *board, int index);
/* After an adoption, and after that of the slots: closes what nobody opened again. Returns how
 * many. */
unsigned board_pools_release_unclaimed(struct board *board, const bool claimed[BOARD_POOLS]);
void board_pool_set(struct board *board, int pool, enum pool_field field, uint64_t value);
void board_pool_add(struct board *board, int pool, enum pool_field field, uint64_t count);

/* Of its listening socket, by which readers ask the kernel; 0: none to ask of. */
void board_pool_set_inode(struct board *board, int pool, uint64_t inode);
/* Where the workers of a slot add how long connections took. */
struct times *board_pool_times(struct board *board, int pool, int slot);

/* Marks a UDP port as ours, so that no datagram worker feeds a loop. */
void board_udp_port(struct board *board, unsigned port, int ours);

/* A cleared slot for a new worker. Returns its index, or -1: the table is full. */
int board_slot_take(struct board *board, int pool, uint32_t generation);
void board_slot_set_pid(struct board *board, int slot, uint32_t pid);
/* The word that a busy worker reads between clients. */
void board_slot_tell(struct board *board, int slot, enum slot_word word);
/* In the place of a worker that knows of no board: it is ready. */
void board_slot_set_running(struct board *board, int slot);
enum slot_state board_slot_state(const struct board *board, int slot);
/* CLOCK_MONOTONIC of its last accept or of becoming idle, as the worker says: a hint. */
uint64_t board_slot_since(const struct board *board, int slot);
/* Connections that a slot says it accepted: a hint. */
uint64_t board_slot_accepted(const struct board *board, int slot);
/* Its last client, as it says. Returns the size, 0: none. */
socklen_t board_slot_peer(const struct board *board, int slot, struct sockaddr_storage *peer);
/* The bytes of connection `number`, if its worker has said so when it was late: a hint. */
bool board_slot_late_bytes(const struct board *board, int slot, uint64_t number, uint64_t *in,
			   uint64_t *out);
/* Connections that workers accepted which are gone by now. */
uint64_t board_accepted_by_the_gone(const struct board *board);
/*
 * Moves a dead worker's counters into its pool's totals and frees the slot. A connection that was
 * open is counted as aborted_death. Returns how many were: 0 or 1; -1 when the counters made no
 * sense (the worker wrote elsewhere than it should) and were dropped.
 */
int board_slot_fold(struct board *board, int index);
/* The same for a connection that was open and ended otherwise, e.g. as timed_out. */
int board_slot_fold_as(struct board *board, int index, enum connection_field ending);
/* After an adoption: the pool of the slot that this worker holds, or -1: it holds no such slot. */
int board_slot_adopt(const struct board *board, int slot, uint32_t pid);
/* After an adoption: folds every slot that is taken and not claimed. Returns how many. */
unsigned board_slots_release_unclaimed(struct board *board, const bool claimed[BOARD_SLOTS]);

/* ---- the ledger (ledger.c) ---- */

/* A generation serves from now on. */
void board_generation_begin(struct board *board, uint32_t generation);
/* The reload, upgrade or stop that was begun last tells workers to leave: its ledger begins. */
void board_replace_begin(struct board *board, enum verdict_kind kind);
/* This worker is one of them: its client of now, and those that it still takes, count there, and no
 * more for what it was told before. */
void board_slot_replaced(struct board *board, int slot, enum verdict_kind kind);
/* So many listeners were closed while clients waited there; workers of that generation served it.
 * `by`: what they left for, as enum verdict_kind and one more, or 0. */
void board_ledger_queue_cut(struct board *board, uint32_t generation, unsigned by, uint64_t count);
/* For board_slot_fold(): moves what a dead worker counted. */
void board_ledger_fold(struct board *board, int slot, const uint64_t values[CONNECTION_FIELDS]);

/* ---- verdicts ---- */

/* A verdict: begin gives it the next number and returns it; finish publishes its result. */
uint32_t board_verdict_begin(struct board *board, enum verdict_kind kind);
void board_verdict_finish(struct board *board, enum verdict_kind kind, int failed,
			  const char *text);
/* The number of the last one begun. */
uint32_t board_verdict_begun(const struct board *board, enum verdict_kind kind);
/* On a new board that could not take over the old one's results: `number` is the last one begun
 * there, and still has no result. */
void board_verdict_resume(struct board *board, enum verdict_kind kind, uint32_t number);

#endif
