/* SPDX-License-Identifier: ISC */
/*
 * Clients that were answered, and whose end is waited for beside other work: as close_gently(), for
 * a worker that supervises and has no need to stand still for it. Most have ended by the time of
 * the next look; only for those that have not the worker wakes.
 */
#ifndef WORKER_LINGERING_H
#define WORKER_LINGERING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINGERING_MOST 16

struct lingering {
	int wake; /* readable when there is a reason to look; -1: none could be made */
	struct lingering_client {
		int fd;
		bool watched; /* by wake */
		bool refused;
		uint64_t look, deadline;
		size_t room; /* bytes that are read at most */
	} clients[LINGERING_MOST];
	unsigned count;
};

void lingering_open(struct lingering *lingering);
void lingering_close(struct lingering *lingering);
/* Takes the descriptor over; where there are too many a refused one has to go, or else the oldest,
 * which is waited for. */
void lingering_add(struct lingering *lingering, int fd, uint64_t now);
/* The same of a client that was refused, for whom nobody waits: where there are too many it is the
 * oldest refused one that goes, at once. */
void lingering_add_refused(struct lingering *lingering, int fd, uint64_t now);
/* Reads what came, closes those that have ended or had their time. Does not wait. */
void lingering_look(struct lingering *lingering, uint64_t now);
/* When to look at the latest, or UINT64_MAX. */
uint64_t lingering_due(const struct lingering *lingering);

#endif
