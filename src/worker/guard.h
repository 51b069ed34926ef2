/* SPDX-License-Identifier: ISC */
/* Which datagrams a built-in must not answer. Pure. */
#ifndef WORKER_GUARD_H
#define WORKER_GUARD_H

#include <stdbool.h>
#include <sys/socket.h>

#include "board/layout.h"

/* A reply of a handler with PREFORKD_SMALL_REPLIES is at most this long. */
#define GUARD_REPLY_MAX 512

/*
 * True when the answer to `source` could feed a loop or an attack: a port below 1024 or one of our
 * own UDP ports (another server, which would answer the answer), a broadcast or multicast address;
 * port 0 too.
 */
bool guard_refuses(const struct sockaddr *source, const board_u64 *our_ports);

#endif
