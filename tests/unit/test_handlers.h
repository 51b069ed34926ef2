/* SPDX-License-Identifier: ISC */
/* Handlers as a worker runs them: in a child, at one end of a socket pair. */
#ifndef TEST_HANDLERS_H
#define TEST_HANDLERS_H

#include <check.h>
#include <stddef.h>
#include <sys/types.h>

#include "handlers/instance.h"

#define REPLY_ROOM 65535

extern const struct preforkd_setup no_options;
/* For loop tests over the two kinds of connections. */
extern const int stream_types[2];

/* A child that serves the other end of fd. */
struct serving {
	int fd;
	pid_t pid;
};

/* A built-in, opened and entered. */
void open_handler(struct handler_instance *instance, const char *name,
		  const struct preforkd_setup *setup);
/* idle_msec as the worker sets it; 0: none. */
struct serving start(const struct handler_instance *instance, int type, int idle_msec);
void put(const struct serving *serving, const void *data, size_t size);
/* Reads to the end, or until the buffer is full. */
size_t get(const struct serving *serving, char *buffer, size_t room);
/* What finish() returns for a serve() that read its client to the end; no errno is as high. */
#define READ_TO_END 200
/* Returns what the child exited with: the errno of serve, or 0. */
int finish(struct serving *serving);
/* Answers a datagram from 192.0.2.1:4711, the 94th of its worker. */
ssize_t answer(const struct handler_instance *instance, const void *data, size_t size, void *reply,
	       size_t room);
void starts_with(const char *text, const char *start);

TCase *add_case(Suite *suite, const char *name);
void add_builtins(Suite *suite);
void add_message(Suite *suite);
void add_modules(Suite *suite);
void add_qotd(Suite *suite);

#endif
