/* SPDX-License-Identifier: ISC */
#ifndef BASE_HOT_H
#define BASE_HOT_H

/*
 * Runs for every client. The linker lays such functions side by side: a worker that wakes finds its
 * caches cold, and every page it touches on the way costs it a walk of the page tables.
 */
#define HOT __attribute__((hot))

#endif
