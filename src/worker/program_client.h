/* SPDX-License-Identifier: ISC */
/* A client that a program serves, as its worker sees it: on the board and in the log. */
#ifndef WORKER_PROGRAM_CLIENT_H
#define WORKER_PROGRAM_CLIENT_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"
#include "worker/job.h"

struct program_client {
	int fd;
	uint64_t begun_usec;
	socklen_t peer_len;
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	} peer;
};

/* fd, peer and peer_len are those of accept(2). Allocates nothing. */
void program_client_begin(struct program_client *c, const struct loop *loop);
/* Closes it, unless somebody took it over: -1. `about` has the bytes, where they are known. */
void program_client_end(const struct program_client *c, const struct worker_job *job,
			enum connection_field outcome, struct log_about *about);
/* For the log: its program, `pid`, is to be ended after its connection_timeout. `about` has the
 * bytes, where they are known. */
void program_client_tell_timeout(const struct program_client *c, const struct worker_job *job,
				 pid_t pid, struct log_about *about);

#endif
