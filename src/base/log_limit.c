/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <time.h>

#include "base/log.h"

static unsigned long long now_usec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000;
}

/*
 * The caller reads `suppressed` after a true, so it is only reset by the first false that follows.
 * The lowest bit of `next` remembers that this is still to be done; for its sake times are rounded
 * up to an even microsecond.
 */
bool log_limit_passes(struct log_limit *limit, unsigned long long interval_usec)
{
	unsigned long long now = now_usec();
	bool counted = limit->next & 1;

	if (now < (limit->next & ~1ULL)) {
		limit->suppressed = counted ? 1 : limit->suppressed + 1;
		limit->next &= ~1ULL;
		return false;
	}
	if (counted)
		limit->suppressed = 0;
	limit->next = ((now + interval_usec + 1) & ~1ULL) | 1;
	return true;
}
