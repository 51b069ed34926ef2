/* SPDX-License-Identifier: ISC */
/* Why the service manager sends SIGTERM: on a restart it keeps the stored listeners and clients may
 * wait in their queues, on a stop nobody keeps them. */
#ifndef MASTER_INTENT_H
#define MASTER_INTENT_H

#include "master/master.h"

/* Not known: no manager, no way to ask it, no answer in time, or a signal that is not its. */
enum intent { INTENT_UNKNOWN, INTENT_STOP, INTENT_RESTART };

typedef void intent_answer(struct master *m, enum intent intent);

/* Asks the manager for the job of our unit. `answer` is called once: now, or from the loop within a
 * quarter of a second. Not while another question is open. A restart by a manager that keeps fewer
 * than `stored` descriptors is a stop: FileDescriptorStoreMax= may be 0 or too small. */
void intent_ask(struct master *m, unsigned stored, intent_answer *answer);
/* Forgets an open question; its answer is not called. */
void intent_close(struct master *m);

#endif
