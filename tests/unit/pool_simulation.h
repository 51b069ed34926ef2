/* SPDX-License-Identifier: ISC */
/*
 * A pool that grows and shrinks, without processes: clients come, workers take them in turn, hold
 * them, are done; the policy is asked when the master would ask it. Time goes in steps.
 */
#ifndef TESTS_POOL_SIMULATION_H
#define TESTS_POOL_SIMULATION_H

#include "master/pool.h"

#define MSEC UINT64_C(1000)
#define SEC  UINT64_C(1000000)
#define MIN  (60 * SEC)

#define SIM_WORKERS_MAX 10300
#define SIM_NEVER       UINT64_MAX

enum sim_state { SIM_NONE, SIM_STARTING, SIM_IDLE, SIM_BUSY };

struct sim_worker {
	enum sim_state state;
	bool old, leaving, stopped;
	uint64_t until; /* ready, or done */
};

struct sim {
	struct pool_settings settings;
	struct pool_history history;
	struct pool_health health;
	uint64_t now, step;
	uint64_t skew;         /* what the policy takes for the time is so much more */
	uint64_t start_usec;   /* from fork to ready */
	unsigned cpus;         /* that serve at once; 0: clients only hold, and need none */
	unsigned total;        /* workers_total */
	bool fork_fails, dies; /* the next ones */

	struct sim_worker workers[SIM_WORKERS_MAX];
	unsigned high; /* none from here on */
	unsigned idle, least, busy;
	uint64_t waiting[SIM_WORKERS_MAX], holds[SIM_WORKERS_MAX]; /* since when, for how long */
	unsigned queue_first, queued;
	uint32_t begun;
	uint64_t next; /* look */
	bool armed, watch;
	unsigned stuck;    /* stopped ones that were seen */
	uint64_t see_next; /* look at the queue */
	struct pool_stall stall;

	/* what came of it */
	uint64_t longest_wait;
	unsigned started, let_go, looks, failed, served, most;
	struct pool_plan plan;
};

void sim_init(struct sim *s, const struct pool_settings *settings);
/* `count` clients, each of which holds its worker for so long. */
void sim_come(struct sim *s, unsigned count, uint64_t holds);
/* Lets time pass. */
void sim_run(struct sim *s, uint64_t usec);
/* Until nobody waits; at most so long. */
bool sim_run_until_taken(struct sim *s, uint64_t most);
/* So many idle workers stand still from now on. */
void sim_stop(struct sim *s, unsigned count);
/* None does any more, and that is seen. */
void sim_go_on(struct sim *s);
/* Every worker of now is old. */
void sim_recycle(struct sim *s);
/* Workers by state, those that leave apart. */
struct pool_counts sim_count(const struct sim *s);

#endif
