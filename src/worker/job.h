/* SPDX-License-Identifier: ISC */
/* All that a worker knows: what crosses the fork. Nothing of the configuration does. */
#ifndef WORKER_JOB_H
#define WORKER_JOB_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/parse.h"
#include "base/rules.h"
#include "board/layout.h"
#include "preforkd/handler.h"

enum sandbox_level { SANDBOX_OFF, SANDBOX_BASIC, SANDBOX_STRICT };

/* Who a worker becomes. */
struct identity {
	bool change_user, change_group;
	uid_t uid;
	gid_t gid;
	const gid_t *groups; /* supplementary */
	size_t group_count;
};

struct resource_limit {
	int resource; /* RLIMIT_... */
	rlim_t value; /* soft and hard */
};
#define RESOURCE_LIMITS_MAX 8

/* A program that serves, and what it is executed with. */
struct program {
	char *const *argv;        /* its path first; NULL at the end */
	char *const *environment; /* NAME=VALUE, without what a client adds; NULL at the end */
	size_t environment_count;
	bool prestart, stderr_to_client;
	uint64_t connection_timeout_usec; /* 0: none */
};

struct gauge;
struct sources;

/* Who is served, and how fast. Made before the fork, read only. */
struct admission {
	const struct rules *allow, *deny, *proxy_from; /* NULL: none */
	enum proxy_mode proxy;
	uint64_t queue_timeout_usec, per_source; /* 0: no limit */
	struct rate rate, rate_per_source;
	const char *busy_message; /* not ended by a NUL that counts; sent as it is */
	size_t busy_size;         /* 0: none */
	struct sources *sources;  /* what the service knows of them, shared by all its workers */
};

struct worker_job {
	const char *service, *address;
	/* Made before the fork, so that no worker needs pages of its own for it: */
	const char *title; /* for ps(1) */
	pid_t master;
	int death_signal; /* what it gets when that is gone */

	/* descriptors, all open in the master at the fork; everything else is closed */
	int listener;
	int ready;    /* epoll(7) that the workers of a listener share; -1: none */
	int turns;    /* worker/turns.h; -1: this one waits in the epoll */
	int type;     /* SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM */
	int gate;     /* read once before the first accept; -1: none */
	int report;   /* where a failure before readiness is told; -1: in the log */
	int wake;     /* a byte here makes the master look at the board */
	int board;    /* `master`, read-only */
	int answers;  /* with connection_timeout: where it says that its client is not late */
	bool pktinfo; /* datagrams come with the address they were sent to */

	struct slot *slot;
	size_t slot_index;
	struct gauge *gauge; /* of a pool that may grow; else NULL */
	struct times *times;
	const struct board_file *slots; /* all of them, to look at */
	/* Gives handlers the board to read; the worker knows of no handler but its own. */
	void (*give_board)(const struct master_file *master, const struct board_file *workers,
			   int master_fd);

	const struct preforkd_handler *handler;
	void *state;                   /* what its open() returned */
	const struct program *program; /* instead of the handler; NULL: none */

	const struct admission *admission; /* NULL: everybody is served */
	uint64_t idle_timeout_usec;        /* to set on each client; 0: none, or it comes with it */
	uint64_t recycle_after;            /* connections, jitter already in it; 0: never */
	uint64_t recycle_memory;           /* private bytes, likewise */
	uint64_t
		connection_timeout_usec; /* of a handler: the master keeps it, with ALRM; 0: none */
	bool log_connections;

	/* process */
	struct identity identity;
	const char *chroot_directory; /* NULL: none */
	const char *directory;        /* NULL: / */
	mode_t umask;
	bool set_nice;
	int nice;
	struct rlimit nofile; /* the daemon raised its own: what it was */
	struct resource_limit limits[RESOURCE_LIMITS_MAX];
	size_t limit_count;
	enum sandbox_level sandbox;
};

#endif
