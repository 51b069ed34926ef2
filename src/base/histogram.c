/* SPDX-License-Identifier: ISC */
#include <config.h>

#include "base/histogram.h"

uint64_t histogram_low(unsigned bucket)
{
	unsigned shift = bucket / HISTOGRAM_STEPS;

	if (shift > 0)
		shift--;
	return (uint64_t)(bucket - shift * HISTOGRAM_STEPS) << shift;
}

/* Off by the same share at either end. */
uint64_t histogram_value(unsigned bucket)
{
	double first = (double)histogram_low(bucket);
	double last = (double)(histogram_low(bucket + 1) - 1);

	return first < HISTOGRAM_STEPS ? (uint64_t)first
				       : (uint64_t)(2 * first * last / (first + last) + 0.5);
}

void histogram_add(struct histogram *h, uint64_t value, uint64_t times)
{
	h->counts[histogram_bucket(value)] += times;
	h->sum += value * times;
}

void histogram_merge(struct histogram *into, const struct histogram *h)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->counts[i] += h->counts[i];
	into->sum += h->sum;
}

static uint64_t less(uint64_t from, uint64_t by)
{
	return from > by ? from - by : 0;
}

void histogram_subtract(struct histogram *from, const struct histogram *earlier)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		from->counts[i] = less(from->counts[i], earlier->counts[i]);
	from->sum = less(from->sum, earlier->sum);
}

uint64_t histogram_count(const struct histogram *h)
{
	uint64_t count = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		count += h->counts[i];
	return count;
}

uint64_t histogram_quantile(const struct histogram *h, double q)
{
	double wanted = q * (double)histogram_count(h);
	double seen = 0;
	uint64_t value = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (h->counts[i] == 0)
			continue;
		value = histogram_value(i);
		seen += (double)h->counts[i];
		if (seen >= wanted)
			break;
	}
	return value;
}

uint64_t histogram_mean(const struct histogram *h)
{
	uint64_t count = histogram_count(h);

	return count > 0 ? h->sum / count : 0;
}
