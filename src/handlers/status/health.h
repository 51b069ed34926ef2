/* SPDX-License-Identifier: ISC */
/* Whether the daemon is well, in words. */
#ifndef HANDLERS_STATUS_HEALTH_H
#define HANDLERS_STATUS_HEALTH_H

#include <stdbool.h>
#include <stdio.h>

#include "view/snapshot.h"

/* Writes each pool that is not well, `separator` in between, by `put`. */
void health_pools(const struct snapshot *snapshot, FILE *out, const char *separator,
		  void (*put)(FILE *out, const char *text));
/* The text of /healthz: `ok`, or why not. Returns whether it is ok. */
bool health_write(const struct snapshot *snapshot, FILE *out);

#endif
