/* SPDX-License-Identifier: ISC */
/* The NOTIFY_SOCKET of one copy, sd_notify(3). */
#ifndef MASTER_COPY_NOTIFY_H
#define MASTER_COPY_NOTIFY_H

#include "master/copy.h"

/* Makes it, and its name. Returns 0, or -1 with errno. */
int copy_notify_open(struct copy *copy);
/* Returns 0, or a negative errno. */
int copy_notify_hear(struct worker *w);
/* Whether one of its lines says that the sender is ready. Pure. */
bool copy_notify_says_ready(const char *text);

#endif
