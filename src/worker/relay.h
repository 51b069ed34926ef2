/* SPDX-License-Identifier: ISC */
/*
 * Moves bytes both ways between a client and a program that was started ahead of it, on its end of
 * a socket pair. The end of one side's output becomes the end of the other's input, each way by
 * itself. Neither side can make it wait for the other, nor hold more than two buffers.
 */
#ifndef WORKER_RELAY_H
#define WORKER_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One way. */
struct relay_flow {
	char *buffer;
	size_t begin, end; /* what was read and not written yet */
	uint64_t bytes;    /* that were written */
	bool ended;        /* no more is read */
	bool closed;       /* all was written, and the other side knows; or it takes no more */
	void (*closing)(void *userdata); /* before it knows; NULL: nobody asks */
	void *userdata;
};

struct relay {
	int epoll;
	char *buffers;
	int fds[2];                /* the client's socket, the program's */
	uint32_t interest[2];      /* what is waited for */
	struct relay_flow in, out; /* from the client, and to it */
};

enum relay_event {
	RELAY_CLOSED,  /* both ways are closed */
	RELAY_BROKEN,  /* the client is gone: reset, or timed out by TCP */
	RELAY_WAKE,    /* a descriptor of relay_watch() is readable */
	RELAY_TIMEOUT, /* the deadline has passed */
};

/* Once for many connections. Returns 0, or -1 with errno. */
int relay_open(struct relay *r);
void relay_close(struct relay *r);
/* The reading of fd is the caller's; it may be called any time. Returns 0, or -1 with errno. */
int relay_watch(struct relay *r, int fd);

/* For each connection; neither socket is closed here. Returns 0, or -1 with errno. */
int relay_begin(struct relay *r, int client, int program);
void relay_end(struct relay *r);
/* Moves until something of enum relay_event, and may be called again then. `deadline`:
 * CLOCK_MONOTONIC in microseconds, UINT64_MAX: none, 0: moves all that is there. */
enum relay_event relay_run(struct relay *r, uint64_t deadline);
/* The program has ended: its input is dropped, and whoever else holds its socket is cut off. What
 * it had written still goes to the client. */
void relay_drain(struct relay *r);

#endif
