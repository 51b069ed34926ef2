/* SPDX-License-Identifier: ISC */
/* A pool at work: its listener, its handler, its workers. */
#ifndef MASTER_CREW_H
#define MASTER_CREW_H

#include "base/log.h"
#include "handlers/instance.h"
#include "master/admission.h"
#include "master/listener.h"
#include "master/master.h"
#include "master/pool.h"
#include "worker/job.h"

/* A configuration that pools still refer to. */
struct held_config {
	struct config *config;
	unsigned users;
};
void held_config_release(struct held_config *held);

struct worker {
	struct crew *crew;
	pid_t pid;
	int slot;
	size_t index;      /* in the crew's list */
	struct copy *copy; /* of an acceptor; else NULL */
	sd_event_source *child;
	unsigned epoch; /* the crew's, when it was forked */
	bool ready, leaving, killed;
	bool stuck; /* idle, and does not take clients: it was stopped */
	bool late;  /* killed, because its client stayed for longer than connection_timeout */
	bool ended; /* a copy: what it has started has not, and has its pipe and its name */
	uint64_t forked_usec;
	uint64_t nudged_usec; /* while leaving: when it was told, or signalled though busy */
	uint64_t signal_usec; /* while leaving: when to look at it again */
	uint64_t kill_usec;   /* while leaving: when to end it, or POOL_NEVER */
	uint64_t late_number; /* of a connection that has lasted for longer than it may */
	uint64_t late_usec;   /* when to end the worker for it; 0: there is none */
	uint64_t denied_usec; /* till then it is believed that it has no such client */
};

enum crew_state {
	CREW_GATED, /* starts behind the gate of its generation */
	CREW_SERVING,
	CREW_DRAINING, /* serves what is in the queue of a listener that nobody keeps */
	CREW_LEAVING,  /* its workers are told to leave */
};
#define CREW_STATES 4
extern const char *const crew_state_names[CREW_STATES];

struct crew {
	struct master *master;
	enum crew_state state;
	struct held_config *held;
	const struct service_config *service;
	char *fingerprint;
	char *title;                 /* of its workers */
	struct listener **listeners; /* one; of an acceptor all of the service, in the order in
					which its copies get them */
	size_t listener_count;
	char address[BOARD_ADDRESS_MAX]; /* theirs, for people */
	struct handler_instance handler;
	struct preforkd_setup setup;
	struct crew_admission admission; /* an adopted one's is zeroed: it starts no worker */
	struct program program;          /* of a service with exec or acceptor; else zeroed */
	bool limits_programs;            /* its workers keep connection_timeout themselves */
	uint64_t overdue_usec;           /* when to look next which clients are overdue; 0: now */
	unsigned replaced_by; /* what its workers leave for: enum verdict_kind and one more, or 0 */
	int board;            /* index of its pool on the board */
	uint32_t generation;
	struct worker **workers;
	size_t worker_count;
	struct pool_settings settings;
	struct pool_counts counts;
	struct pool_health health;
	struct pool_history history;
	enum pool_reason reason; /* of the last plan that had one */
	struct gauge *gauge;     /* of a pool that may grow; else NULL */
	int gauge_off;           /* from what the slots say, when it was last held against them */
	uint64_t check_usec;     /* when to do so, or POOL_NEVER */
	struct pool_stall stall;
	unsigned stuck;               /* workers */
	bool stalls;                  /* for want of them a client waits */
	sd_event_source *watch;       /* while it has no worker: the first client */
	sd_event_source *queue_watch; /* see queue_watch.h */
	bool came;                    /* it has */
	struct log_limit full_said, plan_said;
	unsigned unready;      /* workers that are not ready, old ones and those that leave too */
	bool killing;          /* some are */
	unsigned empty_exits;  /* in a row: workers that left unasked and without a client */
	bool marked;           /* counted in master.udp_users */
	bool degraded_said;    /* in the log */
	bool waits_for_notify; /* its copies say when they are ready */
	bool given_up; /* with the load it was started for: it serves whom it has, and starts no
			  worker */
	char last_death[128], last_words[512]; /* of its copies */
	struct service_config
		*adopted; /* of the binary before an upgrade: no handler, no configuration
			     but this: it only waits to be replaced. Else NULL */
	unsigned epoch;
	uint64_t stop_usec; /* while it drains or leaves: the end of stop_timeout, or POOL_NEVER */
	int gate, report;   /* while gated: what its workers get of the transaction, else -1 */
};

/* A pool that is gated: its handler opened, its listeners held, no worker yet. Returns NULL with
 * err. Takes over the listeners and their array, whatever the result. */
struct crew *crew_new(struct master *m, struct held_config *held,
		      const struct service_config *service, struct listener **listeners,
		      size_t count, struct error *err);
/* A pool of the binary before an upgrade, serving, without its workers. Takes over the listeners
 * and their array. Returns NULL with err. */
struct crew *crew_adopt(struct master *m, const char *name, struct listener **listeners,
			size_t count, struct error *err);
/* One of its workers. Returns 0, or -1 with errno. */
int crew_adopt_worker(struct crew *crew, const struct worker *worker);
/* After its last worker has gone, or when the master ends. */
void crew_free(struct crew *crew);

/* ---- how many workers (crew_size.c) ---- */

/* What the service says of it. Returns 0, or -1 with err. */
int crew_open_size(struct crew *crew, struct error *err);
void crew_close_size(struct crew *crew);
/* A reload that changes nothing else: takes effect with the next step. */
void crew_resize(struct crew *crew, const struct service_config *service);
/* It takes the place of one that has grown: as many as that one needs now. */
void crew_follow_size(struct crew *crew, const struct crew *before);
/* Starts and lets go what the policy says. Returns when to look again. */
uint64_t crew_follow_policy(struct crew *crew, uint64_t now);
/* Whether clients wait, once in a second: beside idle workers those may stand still. */
void crew_see_queue(struct crew *crew, bool waits);
/* A worker ended; its slot is still there. */
void crew_count_end(const struct worker *worker, uint64_t now);
/* Whether it has a worker; if not, one is started with the next step. */
bool crew_has_worker(struct crew *crew);
/* It is no more its business who comes. */
void crew_unwatch(struct crew *crew);

/* Starts and lets go what the policy says, signals and kills what is due. Returns when to look
 * again. */
uint64_t crew_step(struct crew *crew, uint64_t now);
/* Looks which of its new workers are ready. */
void crew_look(struct crew *crew);
/* What serves, for people: a built-in's or a module's name, a program's without its folder. */
const char *crew_handler_name(const struct crew *crew);
/* From now on its workers serve. */
void crew_serve(struct crew *crew, uint32_t generation);
/* Tells all to leave, when their listener goes on elsewhere. */
void crew_leave(struct crew *crew);
/* Keeps new clients out, serves the queue, then leaves; where systemd keeps the listener, leaves at
 * once: its clients wait for the next process. */
void crew_drain(struct crew *crew);
/* Ends all at once. */
void crew_kill(struct crew *crew);
/* The load it was started for has failed. Workers wait behind the gate, with no client; copies may
 * have some, which are served. */
void crew_give_up(struct crew *crew);
/* Every worker of now is replaced in turn. */
void crew_recycle(struct crew *crew);
/* What becomes of the clients of its workers, of now and to come, counts for that from now on. */
void crew_replaced_by(struct crew *crew, enum verdict_kind kind);
/* Forgets that: the old ones stay. */
void crew_recycle_undo(struct crew *crew);
/* It has the workers that are always there, and those that it wants to have just now. */
bool crew_is_full(const struct crew *crew);
bool crew_is_complete(const struct crew *crew);
bool crew_is_degraded(const struct crew *crew);
/* For log_event(): the pool that a line is about, and its worker or NULL. */
struct log_about crew_about(const struct crew *crew, const struct worker *worker);
/* Says when the pool becomes degraded and when it is healthy again. Returns when to look again. */
uint64_t crew_tell_health(struct crew *crew, uint64_t now);

/* ---- listeners (crew_listeners.c) ---- */

/* What tells whether a pool of the service is the same: config_fingerprint(), and of an acceptor
 * its sockets and their names too. Allocated. */
char *crew_fingerprint(const struct service_config *service);
/* Of an acceptor: LISTEN_FDNAMES, in the order of its listeners. Allocated. */
char *crew_socket_names(const struct service_config *service);
/* Takes them and their array over, and composes the address. */
void crew_take_listeners(struct crew *crew, struct listener **listeners, size_t count);
/* Shows on the board how many clients wait. */
void crew_show_queue(struct crew *crew);
/* What its workers wait in or for, once its handler and its rules are open. Returns 0, or -1 with
 * err. */
int crew_open_listeners(struct crew *crew, struct error *err);
/* Whether its workers wait in accept() in turn, see worker/turns.h. */
bool crew_takes_turns(const struct crew *crew);
void crew_release_listeners(struct crew *crew);
bool crew_holds(const struct crew *crew, const struct listener *listener);
/* Of those that are drained: how many have clients in the queue. With `alone` only those that no
 * other pool holds. */
size_t crew_count_waiting(const struct crew *crew, bool alone);
/* Keeps new clients out of those that nobody keeps. Returns how many. */
size_t crew_close_doors(struct crew *crew);

/* For the parts of this one. Tells a worker to leave; signals and kills what is due; both attend
 * functions return when to look again. */
void worker_tell(struct worker *worker, uint64_t now);
/* The same without haste: a client that it took at that moment has all the time it needs. */
void worker_dismiss(struct worker *worker, uint64_t now);
/* It is dead, and the loop may not have been told: it looks again. */
void worker_rearm(struct worker *worker);
uint64_t crew_attend_leaving(struct crew *crew, uint64_t now);
/* Ends clients that are served for longer than connection_timeout (overdue.c). */
uint64_t crew_attend_clients(struct crew *crew, uint64_t now);
/* What its workers need for that. Returns 0, or -1 with err. */
int crew_open_overdue(struct crew *crew, struct error *err);
/* Ends a worker at once, and what it has started. */
void worker_end(struct worker *worker, uint64_t now);
/* A worker that hangs before it is ready, when no transaction waits for it. */
uint64_t crew_attend_starting(struct crew *crew, uint64_t now);

/* The most workers that are forked in one go. */
#define SPAWN_BATCH 64
/* Forks count workers, at most SPAWN_BATCH. Returns 0, or -1 with errno: some or all could not be.
 */
int spawn_workers(struct crew *crew, unsigned count);
/* What systemd told the master is none of a child's business: takes it out of the environment. */
void spawn_forget_environment(void);
/* The one of its crew's counts that a worker is in. */
unsigned *worker_count_of(struct worker *worker);
/* Has the loop tell of its end, and of what a copy says. Returns 0, or a negative errno. */
int worker_watch(struct worker *worker);
/* Without a trace. */
void worker_forget(struct worker *worker);
/* A worker ended; `info` as of waitid(2). */
void crew_reap(struct worker *worker, const siginfo_t *info);

#endif
