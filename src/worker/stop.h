/* SPDX-License-Identifier: ISC */
/*
 * How a worker is stopped without losing a client.
 *
 * The handler of SIGTERM, installed with SA_RESTART, puts a dead socket on the listener's
 * descriptor. A client that accept() had taken is served; an accept() that waits, or comes later,
 * is restarted on the dead socket and fails with EINVAL. A flag with EINTR would have a moment
 * between the look at the flag and the wait; "exit if idle" would drop a client that was just
 * accepted.
 */
#ifndef WORKER_STOP_H
#define WORKER_STOP_H

#include <stdbool.h>

#include "base/error.h"

/* Makes the dead socket and sets the dispositions; the signals stay blocked. */
int stop_prepare(int listener, struct error *err);
/* Every disposition as by default: what a program is to be executed with. */
void stop_default_signals(void);
/* The same for a worker of programs, whose child waits in accept(): it is stopped by URG. */
int stop_prepare_programs(int listener, struct error *err);
/* A second descriptor of the listener, for a last look after a stop: the next stop puts the dead
 * socket on that one too. */
void stop_second(int again);
/* A descriptor that is waited for before accept(), in an epoll(7) or for a lock: a stop puts the
 * dead socket there too, so that no wait begins after it. */
void stop_waiting(int before);
/* Unblocks the signals: from here on a stop takes effect at once. */
void stop_arm(void);
/* True once the stop signal has come. */
bool stop_came(void);

#endif
