/* SPDX-License-Identifier: ISC */
/* exit_idle: the end after so long without a client; the .socket units start us again. */
#ifndef MASTER_IDLE_H
#define MASTER_IDLE_H

#include "master/master.h"

/* From now on, as m->exit_idle says. */
void idle_rearm(struct master *m);

#endif
