/* SPDX-License-Identifier: ISC */
/*
 * Datagrams to one Unix socket, in order, never waited for: what cannot go now goes when there is
 * room. A receiver that is gone is looked for again with each message.
 */
#ifndef MASTER_OUTBOX_H
#define MASTER_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct outbox;

/* Of each kind but OUTBOX_ORDERED only the newest waits. */
enum outbox_kind { OUTBOX_ORDERED, OUTBOX_STATUS, OUTBOX_EXTEND, OUTBOX_WATCHDOG };

/* To a path or an @abstract name. Without an event loop only outbox_flush() sends what waits.
 * Returns 0 (a receiver may come later), or a negative errno: no such address can be. */
int outbox_open(struct outbox **outbox, const char *address, sd_event *event);
/* What still waits is lost. NULL is none. */
void outbox_free(struct outbox *outbox);

/* With a descriptor unless fd is -1; it stays the caller's. Returns 0: sent, or it waits; or a
 * negative errno: this message never goes. */
int outbox_send(struct outbox *outbox, enum outbox_kind kind, const char *text, int fd);
/* Those that wait with just this text are not sent. */
void outbox_withdraw(struct outbox *outbox, const char *text);
/* Sends what waits, for at most `usec`. Returns whether nothing waits. */
bool outbox_flush(struct outbox *outbox, uint64_t usec);

#endif
