/* SPDX-License-Identifier: ISC */
/*
 * Connections that last longer than connection_timeout. The time is the master's to keep: it sends
 * ALRM with the connection's number, whose handler ends the client's connection if that one is
 * still open, and so wakes who waits for the client. A worker that has the same client 2 s later is
 * killed.
 *
 * The master has it from the board, where other workers can write too: a worker that knows better
 * says so, by a socket that tells who speaks.
 */
#ifndef WORKER_OVERTIME_H
#define WORKER_OVERTIME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "worker/job.h"

/* Once, before the signals are unblocked; nothing where the job has no connection_timeout, and then
 * nothing of the rest is called. */
void overtime_open(const struct worker_job *job);
/* Before slot_begin(), with the same time. fd: the client's; -1: a datagram. */
void overtime_begin(int fd, uint64_t number, uint64_t now_usec);
/* Whether its time is over. */
bool overtime_came(void);
/* Before its descriptor is closed. */
void overtime_end(void);

/* For the log: how the connection was ended. */
void overtime_tell(const struct preforkd_client *client);
void overtime_tell_datagram(const struct preforkd_datagram *datagram);
/* That its program is to be ended, while it still runs. `about` has the bytes, where they are
 * known.
 */
void overtime_tell_program(const struct worker_job *job, pid_t pid, const struct sockaddr *peer,
			   socklen_t len, uint64_t begun_usec, struct log_about *about);
/* How long it took and how much it moved, as far as `about` knows: `1.002 s, 5 bytes in, 0 out`.
 * OVERTIME_TEXT_MAX bytes. Returns text. */
#define OVERTIME_TEXT_MAX 96
const char *overtime_describe(char *text, const struct log_about *about);

#endif
