/* SPDX-License-Identifier: ISC */
/*
 * The board: two shared-memory files in an instance's runtime directory.
 *
 *   master  written by the master alone: who it is, the pools, who holds which slot, the words that
 *           tell busy workers to leave, numbered results. Workers and readers map it read-only.
 *   board   one slot for each worker, written by that worker.
 *
 * No pointers, fixed-width types, one writer for each record. What must be read together lies under
 * a seqlock: odd while it is written. Workers are hostile writers: nothing in `board` may be used
 * as a pid, an index, a size or a pointer.
 *
 * A master that executes itself anew (an upgrade) adopts the files when they are of its layout, and
 * puts new ones in their place when they are not: who waits for something looks whether the file at
 * that path is still the one it has mapped.
 */
#ifndef BOARD_LAYOUT_H
#define BOARD_LAYOUT_H

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/histogram.h"

#define BOARD_MASTER_FILE  "master"
#define BOARD_WORKERS_FILE "board"
#define BOARD_MAGIC        UINT32_C(0x6b726670) /* "pfrk" */
#define BOARD_VERSION      1
#define BOARD_POOLS        1024
#define BOARD_SLOTS        16384
#define BOARD_NAME_MAX     64
#define BOARD_ADDRESS_MAX  300
#define BOARD_VERDICT_MAX  4096
#define BOARD_PEER_MAX     28

enum connection_field {
#define CONNECTION_FIELD(name, type, unit, help) CONN_##name,
#include "board/fields.def"
	CONNECTION_FIELDS
};
enum pool_field {
#define POOL_FIELD(name, type, unit, help) POOL_##name,
#include "board/fields.def"
	POOL_FIELDS
};
enum instance_field {
#define INSTANCE_FIELD(name, type, unit, help) INSTANCE_##name,
#include "board/fields.def"
	INSTANCE_FIELDS
};

/* For readers that show every field. */
enum field_type { FIELD_COUNTER, FIELD_GAUGE };
struct field_info {
	const char *name;
	enum field_type type;
	const char *unit;
	const char *help;
};
extern const struct field_info connection_fields[CONNECTION_FIELDS];
extern const struct field_info pool_fields[POOL_FIELDS];
extern const struct field_info instance_fields[INSTANCE_FIELDS];
/* accepted less all that ended: the connections that are open. Wraps around where the numbers make
 * no sense. */
uint64_t board_open_connections(const uint64_t values[CONNECTION_FIELDS]);

typedef _Atomic uint32_t board_u32;
typedef _Atomic uint64_t board_u64;

/* What a worker is doing. */
enum slot_state {
	SLOT_FREE,
	SLOT_STARTING,
	SLOT_IDLE,
	SLOT_BUSY,
	SLOT_LEAVING,
	SLOT_RUNNING /* a copy of a program: what it does is not known */
};
#define SLOT_STATES 6
extern const char *const slot_state_names[SLOT_STATES];

/* A worker's slot in `board`. Its writer is the worker, the master for a copy of a program; the
 * master clears it before a fork. */
struct slot {
	board_u32 seq;
	board_u32 state; /* enum slot_state */
	board_u64 values[CONNECTION_FIELDS];
	board_u64 since_usec; /* CLOCK_MONOTONIC of the accept, or of becoming idle */
	board_u32 peer_len;
	board_u32 peer[BOARD_PEER_MAX / 4]; /* the sockaddr of the last client, cut to this size */
	board_u32 peer_uid; /* of a client on a Unix socket, where somebody asked; else -1 */
	board_u64 source;   /* a client that counts for per_source: its source's tag; else 0 */
	board_u64 late;     /* the number of the last connection that was ended by a timeout */
	board_u64 late_in, late_out; /* its bytes by then; both UINT64_MAX: not known */
} __attribute__((aligned(256)));
static_assert(sizeof(struct slot) == 256, "a slot is four cache lines");
static_assert(offsetof(struct slot, values) == 8, "counters follow the state");

/* What the master tells a worker; the worker looks at it between clients. */
enum slot_word { WORD_SERVE, WORD_LEAVE };

/* Who holds a slot, in `master`. */
struct slot_owner {
	board_u32 word; /* enum slot_word */
	board_u32 pool; /* index of the pool, or BOARD_POOLS: free */
	board_u32 pid;
	board_u32 generation;
	board_u64 started_usec; /* CLOCK_MONOTONIC */
	board_u32 leaving;
	board_u32 replaced_by;     /* enum verdict_kind and one more, or 0: what it leaves for */
	board_u32 replaced_number; /* of that verdict */
} __attribute__((aligned(64)));
static_assert(sizeof(struct slot_owner) == 64, "an owner is one cache line");

/* A pool in `master`; identified by service and address for as long as either has a worker. */
struct pool_record {
	board_u32 seq; /* held while a dead worker's counters move from its slot to these totals */
	board_u32 used;
	char service[BOARD_NAME_MAX];
	char address[BOARD_ADDRESS_MAX]; /* as bound: with the port that the kernel chose */
	char handler[BOARD_NAME_MAX];
	board_u64 totals[CONNECTION_FIELDS]; /* of workers that are gone */
	board_u64 values[POOL_FIELDS];
	board_u64 inode; /* of its listening socket; 0: none, or several */
} __attribute__((aligned(64)));

/* The results that preforkctl waits for. */
enum verdict_kind { VERDICT_RELOAD, VERDICT_RECYCLE, VERDICT_UPGRADE, VERDICT_STOP, VERDICT_KINDS };
struct verdict {
	board_u32 seq;
	board_u32 begun;    /* the number of the last one begun */
	board_u32 finished; /* the number of the last one that has a result */
	board_u32 failed;   /* that result: 0 is success */
	board_u64 at_usec;  /* CLOCK_REALTIME */
	char text[BOARD_VERDICT_MAX];
};

/* What became of connections: of the workers of one generation, or of those that one reload,
 * upgrade or stop has told to leave. */
struct ledger {
	board_u32 number;  /* of the generation, or of the verdict; 0: not used */
	board_u64 at_usec; /* CLOCK_REALTIME of its begin */
	board_u64 queued_at_close;
	board_u64 totals[CONNECTION_FIELDS]; /* of workers that are gone */
};
#define BOARD_GENERATIONS 8

enum master_state {
	MASTER_STARTING,
	MASTER_RUNNING,
	MASTER_RELOADING,
	MASTER_STOPPING,
	MASTER_GONE
};
#define MASTER_STATES 5
extern const char *const master_state_names[MASTER_STATES];

struct board_header {
	uint32_t magic;
	uint32_t version;
	uint64_t layout; /* a hash of every name and offset of the layout */
	uint64_t size;
};

/*
 * What `master` begins with, THE SAME IN EVERY VERSION FOR EVER: who the master is, and the results
 * of what it was told to do. A package is upgraded while its daemon runs, so every preforkctl must
 * be able to direct every preforkd. The version and the layout's hash are of what follows.
 */
struct master_head {
	struct board_header header;
	board_u32 pid;
	board_u32 state; /* enum master_state */
	board_u64
		pid_start_ticks; /* field 22 of /proc/PID/stat, so that a reused pid is no master */
	struct verdict verdicts[VERDICT_KINDS];
};
static_assert(BOARD_MAGIC == UINT32_C(0x6b726670), "the head is the same for ever");
static_assert(sizeof(struct board_header) == 24 && offsetof(struct board_header, magic) == 0 &&
		      offsetof(struct board_header, version) == 4 &&
		      offsetof(struct board_header, layout) == 8 &&
		      offsetof(struct board_header, size) == 16,
	      "the head is the same for ever");
static_assert(offsetof(struct master_head, pid) == 24 &&
		      offsetof(struct master_head, state) == 28 &&
		      offsetof(struct master_head, pid_start_ticks) == 32 &&
		      offsetof(struct master_head, verdicts) == 40 &&
		      sizeof(struct master_head) == 40 + 4 * sizeof(struct verdict),
	      "the head is the same for ever");
static_assert(VERDICT_RELOAD == 0 && VERDICT_RECYCLE == 1 && VERDICT_UPGRADE == 2 &&
		      VERDICT_STOP == 3 && VERDICT_KINDS == 4,
	      "the head is the same for ever");
static_assert(sizeof(struct verdict) == 24 + 4096 && offsetof(struct verdict, seq) == 0 &&
		      offsetof(struct verdict, begun) == 4 &&
		      offsetof(struct verdict, finished) == 8 &&
		      offsetof(struct verdict, failed) == 12 &&
		      offsetof(struct verdict, at_usec) == 16 &&
		      offsetof(struct verdict, text) == 24,
	      "the head is the same for ever");

/* The file `master`. */
struct master_file {
	struct master_head head;
	board_u64 started_usec; /* CLOCK_REALTIME */
	board_u32 slots_high;   /* slots from here up were never used */
	board_u32 pools_high;
	board_u32 slots_low; /* slots below are taken */
	board_u32 log_level; /* enum log_level: a reload changes it for every worker */
	char instance[BOARD_NAME_MAX];
	char version[BOARD_NAME_MAX];
	board_u64 values[INSTANCE_FIELDS];
	board_u64 gone[CONNECTION_FIELDS]; /* totals of pools that are gone */
	board_u64 udp_ports[65536 / 64];   /* a bit for each port of our UDP listeners */
	board_u32 ledgers_seq; /* held while a dead worker's counters move to the ledgers */
	struct ledger generations[BOARD_GENERATIONS + 1]; /* the first: all those before */
	struct ledger replaced[VERDICT_KINDS];
	struct pool_record pools[BOARD_POOLS];
	struct slot_owner owners[BOARD_SLOTS];
	/* Of a worker that is replaced: its counters when it was told to leave. As `accepted` what
	 * had ended by then: what was open is one of those that count. */
	board_u64 before[BOARD_SLOTS][CONNECTION_FIELDS];
};
static_assert(offsetof(struct master_file, head) == 0, "the head is the same for ever");

/* How long connections took, from accept() to their end, and how long they had waited for it in the
 * kernel's queue, in microseconds. */
enum times_kind { TIMES_CONNECTION, TIMES_WAIT, TIMES_KINDS };
#define TIMES_SHARDS 4

/* Several workers add to the same one, not all to one: as many CPUs can do so at once. */
struct times {
	board_u64 counts[TIMES_KINDS][HISTOGRAM_BUCKETS];
} __attribute__((aligned(64)));
/* Whole pages: those of a pool that is gone are given back. */
struct pool_times {
	struct times shards[TIMES_SHARDS];
} __attribute__((aligned(4096)));

/* The file `board`. */
struct board_file {
	struct board_header header;
	struct slot slots[BOARD_SLOTS];
	struct pool_times times[BOARD_POOLS];
};

static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "the board needs lock-free 64-bit atomics");

/* The hash that both files carry. */
uint64_t board_layout_hash(void);

#endif
