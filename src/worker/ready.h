/* SPDX-License-Identifier: ISC */
/*
 * accept(2) for a worker that serves connections itself.
 *
 * accept() alone wakes those who wait in it strictly in turn: each client finds a worker whose
 * caches are cold, though the one that served the client before idles. The workers of a listener
 * wait in one epoll(7) that they share, which wakes the one that began to wait last. So a load is
 * served by as few workers as it needs, however many there are.
 *
 * It is edge-triggered, or it would wake a second one for each client; and two clients that come at
 * once may be one edge. So who was woken, and has taken one, has the kernel look again. Who finds a
 * client without that wait need not: nobody was woken for less. That is how it goes under load.
 *
 * Another may have taken the client by then, so that accept() itself must not wait. Who leaves has
 * the kernel look again too: it may have been woken just before.
 *
 * Where serving a client waits for nobody, PREFORKD_PROMPT, all of that costs more than the
 * serving: there a few wait in accept() alone, and the others for their turn (turns.h).
 *
 * Beside that it looks after clients that were answered and have not ended yet (lingering.h).
 */
#ifndef WORKER_READY_H
#define WORKER_READY_H

#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/error.h"

/* What the listener is in that epoll for. */
#define READY_EVENTS (EPOLLIN | EPOLLET)

/* One of the two in a process; after stop_prepare(), before stop_arm(). Return 0, or -1 with err.
 * With an epoll the listener should not block, and has the number that it is in the epoll by. */
int ready_open(int listener, int epoll, struct error *err);
/* turns: of turns_create(). The listener should block. */
int ready_open_in_turn(int listener, int turns, struct error *err);
/* Waits, then as accept4(2) with SOCK_CLOEXEC. Fails with EINTR now and then. */
int ready_accept(struct sockaddr *peer, socklen_t *len);

/* Takes over the descriptor of a client that was told that we are done (shutdown), until it has
 * ended too. */
void ready_keep(int fd, uint64_t now_usec);
/* The same of one that was refused, for whom nobody waits. */
void ready_keep_refused(int fd, uint64_t now_usec);
/* The worker leaves: they have their time. */
void ready_finish(void);

#endif
