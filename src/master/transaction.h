/* SPDX-License-Identifier: ISC */
/*
 * A load of the configuration, the first one, a reload or that of an upgrade: everything that can
 * fail is done while the generation before serves on; then it is committed in one go, or undone.
 *
 * 1. load: in a child process, under a time limit (the first one: in the master).
 * 2. bind: new listeners, not yet listening; handlers are opened.
 * 3. start: new workers, held at a gate before their first accept until all are ready.
 * 4. commit: listen, open the gate, tell the workers that were replaced to leave.
 *
 * A program that accepts for itself knows of no gate, and may give up on a socket that does not
 * listen: its sockets listen before its copies start, and they take clients as soon as they run.
 * With those of before that is harmless, they share the queue. For the sake of a load that fails
 * after all, copies start when every worker is ready; and then they serve whom they have to the
 * end, close the doors that nobody keeps, serve the queue, and leave.
 */
#ifndef MASTER_TRANSACTION_H
#define MASTER_TRANSACTION_H

#include "master/child.h"
#include "master/crew.h"
#include "master/reload.h"

enum transaction_kind {
	TRANSACTION_START,
	TRANSACTION_RELOAD,
	TRANSACTION_UPGRADE, /* the new binary replaces the workers of the one before */
};

/* A listener that the plan compared with, and whose it is. */
struct compared {
	struct crew *crew;
	struct listener *listener;
};

struct transaction {
	enum transaction_kind kind;
	struct child *loader; /* while the child loads */
	struct held_config *held;
	struct crew **crews; /* the next generation: new ones and kept ones, in order */
	const struct service_config **services; /* what each of them is of, in this load */
	size_t crew_count;
	struct compared *old; /* those of one pool side by side */
	enum reload_fate *fates;
	size_t old_count;
	unsigned actions[RELOAD_ADD + 1]; /* how many of each */
	int gate[2], report[2];
	uint64_t begun;
};

/* The first generation, of a configuration that was loaded (taken over). Returns 0, or -1 with err.
 */
int transaction_begin(struct master *m, struct config *config, struct error *err);
/* A reload; its result is a verdict. */
void transaction_begin_reload(struct master *m);
/* The first generation after an upgrade; its result is that verdict, which is begun. */
void transaction_begin_upgrade(struct master *m);
/* Looks whether it can be committed or has failed. Returns when to look again. */
uint64_t transaction_step(struct master *m, uint64_t now);
/* Undoes it: the generation before serves on. */
void transaction_abort(struct master *m, int code, const char *reason);

/* For the parts of this one. Pools become the master's. */
void transaction_adopt(struct master *m, struct crew **crews, size_t count);
/* All are ready: listen, open the gate, retire what is replaced (commit.c). */
void transaction_commit(struct master *m);
/* The result, to those who asked. */
void transaction_conclude(struct master *m, enum transaction_kind kind, int code, const char *text);
void transaction_free(struct transaction *t);

/* Its pools: kept, or made with their listeners bound and handlers opened. Returns 0, or -1 with
 * err. */
int assemble(struct master *m, struct transaction *t, struct error *err);

#endif
