/* SPDX-License-Identifier: ISC */
/*
 * Turns: which of a listener's workers wait in accept(2) or recvmsg(2), where serving a client
 * waits for nobody.
 *
 * There are as many as CPUs: one worker more would take the place of another that is about to take
 * the next client anyway, and find its caches cold. A turn is a byte of a file that its worker has
 * locked (fcntl(2), F_SETLKW). So the kernel takes it back from a worker that dies, and wakes just
 * one of those who wait for it. There are two at least, for one worker may be stopped by a
 * debugger.
 *
 * Who waits, waits for one of them. Another that becomes free, for its worker left and none came in
 * its place, stays so until the next worker comes: then one fewer wait for clients.
 */
#ifndef WORKER_TURNS_H
#define WORKER_TURNS_H

struct turns {
	int fd; /* of the file, a byte for each; -1: there are none */
	unsigned count;
	int held; /* -1: none */
};

/* The file, for as many as the calling process may use CPUs. Returns its descriptor, which the
 * workers inherit, or -1 with errno. */
int turns_create(void);
/* In a worker. Returns 0, or -1 with errno. */
int turns_open(struct turns *turns, int fd);
/* Waits until there is one. Returns 0, or -1 with errno: EINTR after a signal without SA_RESTART.
 */
int turns_take(struct turns *turns);
void turns_give(struct turns *turns);

#endif
