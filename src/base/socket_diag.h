/* SPDX-License-Identifier: ISC */
/* The accept queues of listening sockets, by sock_diag(7), which no call on a Unix socket tells,
 * nor any on a socket that another process has. Sockets of the own network name space only. */
#ifndef BASE_SOCKET_DIAG_H
#define BASE_SOCKET_DIAG_H

#include <stdint.h>

struct socket_queue {
	uint32_t inode;  /* of the socket, as fstat(2) has it */
	uint32_t length; /* how many clients wait */
	uint32_t limit;  /* how many may */
};

/* Returns a socket for the calls below, or -1 with errno. */
int socket_diag_open(void);
/* Of a listening Unix socket: queue->inode. Returns 0, or -1 where the kernel does not tell. */
int socket_diag_unix(int diag, struct socket_queue *queue);
/* Calls found() for each listening TCP socket of the family. Returns 0, or -1. */
int socket_diag_tcp(int diag, int family,
		    void (*found)(void *context, const struct socket_queue *queue), void *context);

#endif
