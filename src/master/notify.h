/* SPDX-License-Identifier: ISC */
/* What the service manager is told: sd_notify(3). Without NOTIFY_SOCKET nothing. */
#ifndef MASTER_NOTIFY_H
#define MASTER_NOTIFY_H

#include "master/master.h"

void notify_ready(struct master *m);
void notify_reloading(struct master *m);
void notify_stopping(struct master *m);
/* STATUS= with numbers, when they changed; while stopping also a plea for time. Once a second. */
void notify_status(struct master *m);

#endif
