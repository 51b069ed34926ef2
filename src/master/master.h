/* SPDX-License-Identifier: ISC */
/* The context of the master: one of it, handed to everyone. */
#ifndef MASTER_MASTER_H
#define MASTER_MASTER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <systemd/sd-event.h>

#include "board/board.h"
#include "config/config.h"
#include "config/passed.h"
#include "config/options.h"
#include "master/pool.h"

/* Each pool has one, and each that replaces it. */
#define MASTER_GAUGES (2 * BOARD_POOLS)

struct child;
struct crew;
struct gauge;
struct held_sources;
struct notify;
struct question;
struct transaction;
struct upgrade;

struct master {
	const struct options *options;
	sd_event *event;
	struct notify *notify;     /* to the service manager, or NULL */
	struct question *question; /* to it, not answered yet, or NULL */
	struct board board;
	struct gauge *gauges; /* MASTER_GAUGES, shared with the workers; NULL until one is needed */
	bool gauge_used[MASTER_GAUGES];
	struct crew **crews; /* in the order of the configuration, those that leave behind */
	size_t crew_count;
	struct held_sources *sources;    /* of the services that limit somebody */
	struct transaction *transaction; /* a load under way, or NULL */
	struct child *children;          /* that do something for us */
	struct upgrade *upgrade;         /* one that is asked for, or NULL */
	bool upgrade_again;              /* one more was asked for meanwhile */
	struct passed passed;            /* sockets it was started with */
	uint64_t worker_count;           /* of all pools */
	uint64_t workers_total;          /* to which they may grow; 0: to what the board has */
	uint64_t last_client;            /* of workers that are gone, as they said */
	uint64_t exit_idle;              /* microseconds without a client, then it ends; 0: never */
	sd_event_source *idle_timer;
	uint32_t generation;            /* of the last successful load */
	struct pool_health load_health; /* of loads, while pools of before an upgrade serve */
	unsigned log_level;             /* enum log_level */
	int wake[2]; /* a pipe: a worker became ready. Its flags are each end's own, as an eventfd's
			are not */
	int answers[2]; /* a socket pair: a worker's client is not late; -1 until one is needed */
	sd_event_source *answers_source;
	sd_event_source *step_timer; /* the next thing to do */
	struct rlimit nofile;        /* as it was at the start: what workers get */
	unsigned max_starting;
	unsigned cpus;
	int loadavg; /* /proc/loadavg, or -1 */
	uint32_t random;
	bool reload_again;  /* a reload was asked for during another */
	bool recycle_again; /* a recycle was asked for during an upgrade's load */
	bool recycling;
	bool stopping;
	bool restarting; /* while stopping: systemd keeps what is in the FD store */
	int exit_code;
	uint16_t udp_users[65536]; /* pools that listen there */
	char status[256];          /* the last STATUS= sent */
	uint64_t status_accepted, status_usec;
};

/* Loads the configuration, starts the first generation and runs until the end. Returns the exit
 * code. */
int master_run(const struct options *options);

/* The loop's sources: steps, wake-ups, signals, the service manager. Returns 0, or a negative
 * errno.
 */
int master_add_sources(struct master *m);

/* Has the event loop call master_step() now, or at the latest at `usec` (CLOCK_MONOTONIC). */
void master_step_at(struct master *m, uint64_t usec);
/* Where the board is; `room` is for the default. NULL with err. */
const char *master_directory(const struct master *m, char *room, size_t size, struct error *err);
/* CLOCK_MONOTONIC in microseconds, not the loop's cached time. */
uint64_t master_now(void);
/* A number that differs between workers, for jitter. */
uint32_t master_random(struct master *m);
/* Ends everything: no new clients, those there are are served; a second time they are cut off. */
void master_stop(struct master *m, const char *reason);

#endif
