/* SPDX-License-Identifier: ISC */
/* What the master does on each signal. */
#ifndef MASTER_SIGNALS_H
#define MASTER_SIGNALS_H

#include "master/master.h"

/* Blocks the signals of the table, and SIGCHLD: before the event loop and every fork. */
void signals_block(void);
/* Adds them to the event loop. Returns 0, or a negative errno. */
int signals_add(struct master *m);
/* The recycle that was asked for during the load of an upgrade. */
void signals_resume_recycle(struct master *m);

#endif
