/* SPDX-License-Identifier: ISC */
/*
 * A copy of a program that accepts for itself: what the master has of it beside its worker. What it
 * writes comes by a pipe of its own and goes to the log; with `options { ready = "notify" }` it has
 * a NOTIFY_SOCKET of its own. Both outlast an upgrade, or the copy would run into a closed pipe.
 */
#ifndef MASTER_COPY_H
#define MASTER_COPY_H

#include "master/crew.h"
#include "worker/program.h"

/* A copy that says nothing is ready, and no failure any more, when it is alive after so long. */
#define COPY_ALIVE_USEC UINT64_C(1000000)

/* Of what it says: behind all else, even behind what waits for the loop to be idle. One that never
 * stops must hold nothing up. */
#define COPY_PRIORITY (2 * SD_EVENT_PRIORITY_IDLE)

struct copy {
	struct program_stderr output;
	sd_event_source *output_source;
	int notify; /* what it sends to its NOTIFY_SOCKET comes here; -1: it has none */
	sd_event_source *notify_source;
	char notify_name[64]; /* before the fork */
	bool said_ready;
};

/* Whether a pool's workers are copies. */
bool crew_is_acceptor(const struct crew *crew);
/* Whether those tell when they are ready. */
bool service_waits_for_notify(const struct service_config *service);

/* Before the fork. NULL with errno. */
struct copy *copy_open(const struct crew *crew);
/* In the child: becomes the program. `process`: who it is to be, and where. */
_Noreturn void copy_run(const struct crew *crew, struct worker_job *process,
			const struct copy *copy);
/* One that was open before an upgrade: its descriptors, which become close-on-exec. */
struct copy *copy_adopt(int output, int notify);
/* In the master, once w->copy is set: hears what it says. Returns 0, or a negative errno. */
int copy_hear(struct worker *w);
/* It ended; what it has started gets the stop signal too, and has its time. */
void copy_end_group(struct worker *w, uint64_t now);
/* Forgets copies of which nothing is left. Returns when to look again. */
uint64_t crew_attend_groups(struct crew *crew, uint64_t now);
/* What it wrote last: before it is known that it ended, and before an execve(2). */
void copy_flush(struct worker *w);
void copy_free(struct copy *copy);

bool copy_is_ready(const struct worker *w, uint64_t now);
/* Says what is due, looks when the next will be ready. Returns when to look again. */
uint64_t crew_attend_copies(struct crew *crew, uint64_t now);

#endif
