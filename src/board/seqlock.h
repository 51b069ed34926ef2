/* SPDX-License-Identifier: ISC */
/* A seqlock with one writer: odd while it writes. Readers copy and look whether it moved. */
#ifndef BOARD_SEQLOCK_H
#define BOARD_SEQLOCK_H

#include "board/layout.h"

#define RELAXED memory_order_relaxed

static inline void seq_write_begin(board_u32 *seq)
{
	/* `| 1`: a writer that died half-way left it odd. */
	atomic_store_explicit(seq, atomic_load_explicit(seq, RELAXED) | 1, RELAXED);
	atomic_thread_fence(memory_order_release);
}

static inline void seq_write_end(board_u32 *seq)
{
	atomic_store_explicit(seq, atomic_load_explicit(seq, RELAXED) + 1, memory_order_release);
}

static inline uint32_t seq_read_begin(const board_u32 *seq)
{
	return atomic_load_explicit(seq, memory_order_acquire);
}

/* Nonzero when what was read in between may be torn. */
static inline int seq_read_retry(const board_u32 *seq, uint32_t start)
{
	atomic_thread_fence(memory_order_acquire);
	return (start & 1) || atomic_load_explicit(seq, RELAXED) != start;
}

#endif
