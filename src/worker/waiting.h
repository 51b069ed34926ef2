/* SPDX-License-Identifier: ISC */
/*
 * accept(2) that also returns when a signal comes, for a process that otherwise has all signals
 * blocked and reads them from a signalfd.
 *
 * It cannot poll the listener, which it shares with others, all of whom would wake for each client.
 * So the handler does what that of stop.c does: it puts a dead socket on the listener's descriptor,
 * and an accept() that waits, or comes later, fails. There is no moment in which a signal would go
 * unnoticed, and a client that was taken is returned, whatever came. The next call puts the
 * listener back.
 */
#ifndef WORKER_WAITING_H
#define WORKER_WAITING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"

/* One in a process. All signals must be blocked. Returns 0, or -1 with err. */
int waiting_open(int listener, struct error *err);
void waiting_close(void);
/* The listener itself, which is not always on its descriptor. */
int waiting_listener(void);
/* Makes a descriptor's input (a pipe's) end the wait. Returns 0, or -1 with errno. */
int waiting_watch(int fd);

/*
 * As accept4(2) with SOCK_CLOEXEC. Fails with EINTR when TERM, CHLD or VTALRM came, which are
 * pending again then; ALRM, which is lost; `until` (CLOCK_MONOTONIC in microseconds, UINT64_MAX:
 * never); or input, if *input allows it, which then says whether it did. Now and then for no
 * reason.
 */
int waiting_accept(struct sockaddr *peer, socklen_t *len, bool *input, uint64_t until);

#endif
