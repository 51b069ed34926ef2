/* SPDX-License-Identifier: ISC */
/*
 * How long a client has waited to be accepted. Of a TCP connection the kernel knows it, to a tick
 * of its clock. Of a Unix one it knows nothing: then it is the time since the master has seen it
 * wait, which looks four times in queue_timeout. Where it cannot look, it is the time for which the
 * pool has had clients waiting without a break, which is at least as long.
 */
#ifndef WORKER_QUEUED_H
#define WORKER_QUEUED_H

#include "worker/loop.h"

struct entrant;

/* Whether no client waits at a listener. */
bool queued_nobody(int listener);
/* Before accept() on the listener. */
void queued_before(struct loop *loop, int listener);
/* Whether the kernel tells it of this listener's clients, and what it does of one. */
bool queued_is_told(int listener, int type);
uint64_t queued_told(int fd);
/* After it: in microseconds. */
uint64_t queued_for(const struct loop *loop, const struct entrant *e);

#endif
