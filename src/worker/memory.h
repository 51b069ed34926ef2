/* SPDX-License-Identifier: ISC */
/* How much memory a worker has for itself: for recycle_memory. */
#ifndef WORKER_MEMORY_H
#define WORKER_MEMORY_H

#include <stdint.h>

/*
 * Opens what tells of this process's memory, before it changes its root directory or its user:
 * afterwards it may not. Where it is not told, nothing is private.
 */
void memory_open(void);
/* Private bytes of this process, those it shares with nobody; 0: not told. Costs some 100 us. */
uint64_t memory_private(void);

#endif
