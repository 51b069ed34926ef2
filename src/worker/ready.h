/* SPDX-License-Identifier: ISC */
/*
 * accept(2) for a worker that serves connections itself.
 *
 * accept() alone wakes those who wait in it strictly in turn: each client finds a worker whose
 * caches are cold, though the one that served the client before idles. An epoll_wait(2) before it,
 * with EPOLLEXCLUSIVE, prefers those who were first to wait for this listener, so that a load is
 * served by as few workers as it needs. Only one is woken for a client: who is stopped just then
 * looks for it once more. Another may have taken it by then, so that accept() itself must not wait.
 *
 * Beside that it looks after clients that were answered and have not ended yet (lingering.h).
 */
#ifndef WORKER_READY_H
#define WORKER_READY_H

#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"

/* One in a process; after stop_prepare(), before stop_arm(). The listener should not block. Returns
 * 0, or -1 with err. */
int ready_open(int listener, struct error *err);
/* Waits, then as accept4(2) with SOCK_CLOEXEC. Fails with EINTR now and then. */
int ready_accept(int listener, struct sockaddr *peer, socklen_t *len);
/* After a stop: the client, if there is one, that this worker was woken for. */
int ready_accept_last(struct sockaddr *peer, socklen_t *len);

/* Takes over the descriptor of a client that was told that we are done (shutdown), until it has
 * ended too. */
void ready_keep(int fd, uint64_t now_usec);
/* The same of one that was refused, for whom nobody waits. */
void ready_keep_refused(int fd, uint64_t now_usec);
/* The worker leaves: they have their time. */
void ready_finish(void);

#endif
