/* SPDX-License-Identifier: ISC */
/*
 * How many workers of a pool wait for a client: counted by the workers themselves, in memory that
 * all of them and the master share. Only pools that may grow have one. Like all that workers write
 * it is a hint; the master bounds what it does with it, and corrects it by the slots.
 */
#ifndef BOARD_GAUGE_H
#define BOARD_GAUGE_H

#include <stdbool.h>

#include "board/layout.h"

struct gauge {
	board_u64 flow;  /* clients begun in the upper half, idle workers in the lower */
	board_u32 least; /* idle workers at any moment since the master looked */
	board_u32 low;   /* who makes them fewer than this */
	board_u32 armed; /* says so, if it is set, by a byte, and clears it */
} __attribute__((aligned(64)));
static_assert(sizeof(struct gauge) == 64, "a gauge is one cache line");

struct gauge_reading {
	uint32_t begun; /* wraps around */
	uint32_t idle, least;
};

/* ---- the master's side ---- */

/* Memory for `count` of them that children share; NULL with errno. */
struct gauge *gauge_map(size_t count);
void gauge_reset(struct gauge *gauge, unsigned low);
/* The least number begins anew. */
struct gauge_reading gauge_read(struct gauge *gauge);
/* Clients begun, without that. */
uint32_t gauge_begun(const struct gauge *gauge);
void gauge_set_low(struct gauge *gauge, unsigned low);
/* From now on the worker that takes the last spare says so. Returns false when that has happened
 * since `seen` was read. */
bool gauge_arm(struct gauge *gauge, const struct gauge_reading *seen);
void gauge_disarm(struct gauge *gauge);
/* More idle workers than counted, or fewer. */
void gauge_correct(struct gauge *gauge, int by);

/* ---- a worker's side ---- */

/* What slot_ready() and the like of this process count on from now on; NULL: nothing. `wake`: where
 * the byte goes. */
void gauge_use(struct gauge *gauge, int wake);
void gauge_give(void);     /* one more waits */
void gauge_take(void);     /* one less: it has a client */
void gauge_withdraw(void); /* one less: it leaves */

#endif
