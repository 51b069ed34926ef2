/* SPDX-License-Identifier: ISC */
/* A program that answers a datagram: it reads it from a pipe, and what it writes is the reply. */
#ifndef WORKER_PROGRAM_DATAGRAM_H
#define WORKER_PROGRAM_DATAGRAM_H

#include "worker/program.h"

/* Prepares this process for it. Returns 0, or -1 after a line in the log. */
int program_datagram_open(const struct worker_job *job);
void program_datagram_close(void);
/* While no program runs, signals have their handlers; while one does, they are read from a
 * signalfd, and a stop that came takes effect afterwards. errno is kept. */
void program_datagram_idle(bool idle);
/* As the answer() of a handler. `msg`, when not NULL, says in its control data where the datagram
 * came to. */
ssize_t program_datagram_answer(const struct preforkd_datagram *datagram, struct msghdr *msg,
				void *reply, size_t room);

#endif
