/* SPDX-License-Identifier: ISC */
/*
 * Counts of values, in steps that grow with the value: eight for each power of two. A value that is
 * read back is within 6 % of the one that was added.
 */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stdint.h>

/* Values of less than 2^40 (of microseconds: twelve days); the last bucket has all others too. */
#define HISTOGRAM_STEPS   8
#define HISTOGRAM_BITS    40
#define HISTOGRAM_BUCKETS (HISTOGRAM_STEPS * (HISTOGRAM_BITS - 2))

struct histogram {
	uint64_t counts[HISTOGRAM_BUCKETS];
	uint64_t sum; /* of the values, as exact as whoever made it knows */
};

static inline unsigned histogram_bucket(uint64_t value)
{
	unsigned shift;

	if (value < HISTOGRAM_STEPS)
		return (unsigned)value;
	if (value >> HISTOGRAM_BITS)
		return HISTOGRAM_BUCKETS - 1;
	shift = 60U - (unsigned)__builtin_clzll(value);
	return HISTOGRAM_STEPS * shift + (unsigned)(value >> shift);
}

/* The least value of a bucket; that of the next one is its end. */
uint64_t histogram_low(unsigned bucket);
/* The one that stands for all in it. */
uint64_t histogram_value(unsigned bucket);
void histogram_add(struct histogram *histogram, uint64_t value, uint64_t times);
void histogram_merge(struct histogram *into, const struct histogram *histogram);
/* What came since `earlier`; no count gets less than 0. */
void histogram_subtract(struct histogram *from, const struct histogram *earlier);
uint64_t histogram_count(const struct histogram *histogram);
/* The value that a share q (0 to 1) of all do not exceed; 0 of an empty one. */
uint64_t histogram_quantile(const struct histogram *histogram, double q);
/* 0 of an empty one. */
uint64_t histogram_mean(const struct histogram *histogram);

#endif
