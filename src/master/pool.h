/* SPDX-License-Identifier: ISC */
/*
 * How many workers a pool starts and lets go, now. Pure: settings, counts and the time in, a plan
 * out.
 *
 * A pool holds a size: `workers` at first, never fewer, never more than `workers_max`. It grows
 * when clients would wait: when fewer than `spare` workers are idle, or clients are in the queue,
 * and the workers there are will not be done with so many clients within POOL_PATIENCE_USEC. Where
 * it is not clear that more workers would help, that is tried out. It shrinks by its least number
 * of idle workers over `shrink_after`, half of the excess at a time. Who is idle at a moment says
 * little: some kinds of workers get their clients in turn, of others the last to serve is the next.
 */
#ifndef MASTER_POOL_H
#define MASTER_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POOL_NEVER UINT64_MAX
/* What a client may wait for a worker that will be free again. */
#define POOL_PATIENCE_USEC UINT64_C(5000)

struct pool_settings {
	unsigned workers;      /* always there */
	unsigned max_starting; /* not yet ready at a time */
	unsigned workers_max;  /* at most; not above `workers`: the pool is of one size */
	unsigned spare;        /* idle ones to keep ahead of the load */
	uint64_t shrink_after; /* 0: never */
};

/* Workers by what they are. "Old" ones came before the last recycle and are to be replaced. */
struct pool_counts {
	unsigned ready;    /* take clients, not old */
	unsigned starting; /* forked, not ready, not old */
	unsigned old;      /* take clients, to be replaced, not told yet */
	unsigned leaving;  /* told */
};

/* What an elastic pool's workers do, as they say: a hint. */
struct pool_load {
	unsigned idle;     /* of those that take clients */
	unsigned least;    /* idle at any moment since the last look */
	unsigned queued;   /* clients in the kernel's queue; 1 where it only tells that there are */
	uint32_t begun;    /* clients taken; wraps around */
	unsigned room;     /* workers that the daemon's total still lets this pool have */
	bool short_of_cpu; /* somebody waits for one */
};

/* Whether more workers would get more clients done. */
enum pool_trial {
	POOL_TRIAL_NONE,
	POOL_TRIAL_BEFORE, /* how many, without them */
	POOL_TRIAL_STEP,   /* they start */
	POOL_TRIAL_AFTER,  /* how many, with them */
};

/* What a pool remembers from one look to the next; zeroed at first. */
struct pool_history {
	unsigned size;       /* workers that it holds, those that start included */
	uint64_t mark_usec;  /* since then the ends of clients are counted */
	uint32_t mark_ended; /* clients that had ended then */
	unsigned delivers;   /* clients that end within POOL_PATIENCE_USEC, as last measured */
	bool measured;       /* it is known */
	bool fast;           /* as last measured, every worker is done within that */
	bool sure;           /* of that: enough were done */
	enum pool_trial trial;
	uint64_t trial_usec;            /* when this half began */
	uint32_t trial_ended;           /* clients that had ended then */
	unsigned trial_count;           /* clients that ended in the first half */
	unsigned trial_from, trial_to;  /* sizes */
	uint64_t hold_until, hold_usec; /* no trial before, after one that was in vain */
	uint64_t empty_usec;            /* since then none was idle, and nobody waited; 0: not so */
	uint64_t window_usec;           /* since then the least idle ones are counted; 0: not */
	uint32_t window_begun;          /* clients that had begun then */
	unsigned window_least;
};

struct pool_health {
	unsigned failures;     /* early deaths and failed forks in a row */
	uint64_t last_failure; /* when the last one was */
	uint64_t retry;        /* no worker is started before */
};

/* Why the plan is as it is, for the log. */
enum pool_reason {
	POOL_RESTS,    /* nothing to do */
	POOL_FILLS,    /* up to the size it holds */
	POOL_REPLACES, /* old ones by new ones */
	POOL_MEASURES, /* how fast its workers are done */
	POOL_FLOWS,    /* fast enough: more workers would not help */
	POOL_GROWS,
	POOL_IS_FULL,   /* more are needed than workers_max */
	POOL_IS_CAPPED, /* more are needed than workers_total lets it have */
	POOL_SHRINKS,
	POOL_BACKS_OFF,
};
#define POOL_REASONS 10
extern const char *const pool_reason_names[POOL_REASONS];

/* Whether somebody waits, from one look to the next, of once in a second; zeroed at first. */
struct pool_stall {
	bool waited;
	uint32_t begun; /* clients taken then */
};

struct pool_plan {
	unsigned start;
	unsigned retire;    /* old workers to tell */
	unsigned shrink;    /* workers to tell that are not old: idle ones, */
	bool shrink_any;    /* or else such that have just taken a client, and are done soon */
	bool arm;           /* the worker that takes the last spare is to say so */
	bool watch;         /* nobody is idle: somebody else must see the next client */
	uint64_t next_usec; /* look again then, or POOL_NEVER */
	enum pool_reason reason;
	struct pool_history history; /* for the next look */
};

/* Workers that it may have. */
unsigned pool_most(const struct pool_settings *settings);
bool pool_is_elastic(const struct pool_settings *settings);
/* Fewer idle workers than this are worth a look. */
unsigned pool_low(const struct pool_settings *settings);

/* `load` may be NULL for a pool of one size. */
struct pool_plan pool_plan(const struct pool_settings *settings, const struct pool_counts *counts,
			   const struct pool_load *load, const struct pool_history *history,
			   const struct pool_health *health, uint64_t now);

/* True: clients wait, and nobody took one since the look before. Idle workers do not see them. */
bool pool_stalls(struct pool_stall *stall, bool waits, uint32_t begun);

/* A worker died before its first connection, or fork failed: 100 ms, doubled each time up to 30 s,
 * with a quarter of jitter from `random`. */
void pool_failed(struct pool_health *health, uint64_t now, uint32_t random);
/* A worker served: the pool is well. */
void pool_succeeded(struct pool_health *health);
/* `after` connections, or bytes, with 10 % of jitter from `random`; 0 stays 0, and nothing becomes
 * 0. */
uint64_t pool_recycle_after(uint64_t after, uint32_t random);

#endif
