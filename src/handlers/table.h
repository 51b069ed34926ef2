/* SPDX-License-Identifier: ISC */
/* The built-in handlers by name. */
#ifndef HANDLERS_TABLE_H
#define HANDLERS_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include <preforkd/handler.h>

/* NULL when there is none of that name in the program itself. */
const struct preforkd_handler *handler_builtin(const char *name);
/* The module that a built-in is, to be loaded where it is configured; NULL: it is none. */
const char *handler_builtin_module(const char *name);
/* The names of all, sorted. */
const char *const *handler_builtin_names(size_t *count);
/* Whether it can serve a socket of that type: connections (SOCK_STREAM, SOCK_SEQPACKET) need serve,
 * datagrams (SOCK_DGRAM) need answer. */
bool handler_serves(const struct preforkd_handler *handler, int socktype);

#endif
