/* SPDX-License-Identifier: ISC */
/*
 * A copy of a program that accepts for itself: what its process does between fork(2) and execve(2).
 *
 * pass_as = "systemd": the sockets from descriptor 3 up with LISTEN_FDS, LISTEN_PID and
 * LISTEN_FDNAMES, as sd_listen_fds(3) wants them; stdin is /dev/null, stdout and stderr go to the
 * log. pass_as = "stdin": the one socket is stdin, as inetd's "wait" and FastCGI have it. A
 * datagram socket is stdout too, where inetd's programs write their replies; on a listening one a
 * write would end in SIGPIPE, so that there stdout goes to the log.
 */
#ifndef WORKER_ACCEPTOR_H
#define WORKER_ACCEPTOR_H

#include "worker/job.h"

struct acceptor_job {
	const struct worker_job *process; /* who it becomes, and where */
	const struct program *program;
	const int *sockets;
	size_t socket_count;
	const char *names;  /* LISTEN_FDNAMES; NULL: its one socket is stdin */
	const char *notify; /* NOTIFY_SOCKET; NULL: none */
	int output; /* what it writes to stderr and stdout, and why it could not be executed */
};

/* Runs in the forked child, all signals blocked. */
_Noreturn void acceptor_run(const struct acceptor_job *job);

#endif
