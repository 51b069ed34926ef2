/* SPDX-License-Identifier: ISC */
/*
 * Programs that are started before their clients come: the loop of a worker whose service has
 * `exec` and `prestart`.
 *
 * The worker starts the program on a socket pair, waits for a client, and moves the bytes between
 * the two. It is one process, which sleeps in accept() while there is nobody, and in the relay
 * while there is somebody; signals end both, so that neither needs a clock.
 */
#ifndef WORKER_PRESTART_H
#define WORKER_PRESTART_H

#include "worker/loop.h"

/* Accept connections and serve each by a program until told to leave. Returns 0, or -1 after an
 * error that ends the worker, which was logged. */
int loop_prestart(struct loop *loop);

#endif
