/* SPDX-License-Identifier: ISC */
/*
 * What the service manager is told: the datagrams of sd_notify(3), sent by ourselves because
 * sd_notify() blocks when nobody reads. What cannot be sent now waits in order and goes out when
 * there is room; of STATUS, EXTEND_TIMEOUT_USEC and WATCHDOG only the newest waits. Without
 * NOTIFY_SOCKET nothing is done.
 */
#ifndef MASTER_NOTIFY_H
#define MASTER_NOTIFY_H

#include "master/master.h"

/* To m->event, which must be open. Starts the watchdog's pings when the manager wants them. Returns
 * 0, or a negative errno. */
int notify_open(struct master *m);
/* Sends what waits, for a moment, and forgets everything. */
void notify_close(struct master *m);
/* Sends what waits, for at most `usec`: before an execve(2). Returns whether nothing waits. */
bool notify_flush(struct master *m, uint64_t usec);

void notify_ready(struct master *m);
void notify_reloading(struct master *m);
void notify_stopping(struct master *m);
/* STATUS= with numbers, when they changed; while it loads or stops also a plea for time. Once a
 * second. */
void notify_status(struct master *m);
/* The start failed with this exit code; of the text the first line. May come before
 * notify_open(). */
void notify_failed(struct master *m, int code, const char *text);

/* The manager keeps the descriptor under that name, and passes it to the next process. The caller
 * may close its own at once. */
void notify_store(struct master *m, const char *name, int fd);
/* Every descriptor of that name is kept no more. */
void notify_unstore(struct master *m, const char *name);

#endif
