/* SPDX-License-Identifier: ISC */
/* A child process that loads the configuration: a slow resolver or a crashing module never touches
 * the master. */
#ifndef MASTER_LOADER_H
#define MASTER_LOADER_H

#include <stddef.h>

#include "base/error.h"

struct master;
struct loader;

/* Called once with what the child wrote (load_unpack() reads it); the loader is gone then. Nothing
 * was written: it crashed or took too long. */
typedef void loader_done(struct master *m, const char *bytes, size_t size);

struct loader *loader_start(struct master *m, loader_done *done, struct error *err);
/* Ends it; `done` is not called. NULL is fine. */
void loader_cancel(struct loader *loader);

#endif
