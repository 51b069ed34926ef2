/* SPDX-License-Identifier: ISC */
/*
 * How a client is refused: it gets busy_message and a clean end, and nobody waits for what it does
 * then.
 */
#ifndef WORKER_REFUSE_H
#define WORKER_REFUSE_H

#include <sys/socket.h>

#include "worker/admit.h"

/* Its message and its end. What it sends is still to be read, so that no reset eats the message.
 * Allocates nothing, does not wait. */
void refuse_send_off(const struct loop *loop, int fd);
/* Says so in the log: once a second for a source, unless every connection is logged. */
void refuse_tell(const struct loop *loop, const struct entrant *e, enum connection_field outcome);

#endif
