/* SPDX-License-Identifier: ISC */
/* The built-in handlers by name. */
#ifndef HANDLERS_TABLE_H
#define HANDLERS_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include <preforkd/handler.h>

/* NULL when there is none of that name. */
const struct preforkd_handler *handler_builtin(const char *name);
/* Their names, sorted. */
const char *const *handler_builtin_names(size_t *count);
/* Whether it can serve a socket of that type: connections (SOCK_STREAM, SOCK_SEQPACKET) need serve,
 * datagrams (SOCK_DGRAM) need answer. */
bool handler_serves(const struct preforkd_handler *handler, int socktype);

#endif
