/* SPDX-License-Identifier: ISC */
/* The results that preforkctl waits for, and the log tells. */
#ifndef MASTER_VERDICT_H
#define MASTER_VERDICT_H

#include "master/master.h"

/* Publishes the result of what was begun; a line of the log for each line of the text. */
void verdict_publish(struct master *m, enum verdict_kind kind, bool failed, const char *text);

#endif
