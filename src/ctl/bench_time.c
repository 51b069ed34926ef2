/* SPDX-License-Identifier: ISC */
/* Clocks, and the schedule of a constant rate. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl/bench.h"

uint64_t bench_now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (uint64_t)at.tv_sec * NSEC_PER_SEC + (uint64_t)at.tv_nsec;
}

/* A 128-bit product: of 10^6 requests a second for a day in nanoseconds 64 bits are too few. */
__extension__ typedef unsigned __int128 wide;

uint64_t bench_due(struct rate rate, uint64_t begin, uint64_t k)
{
	return begin + (uint64_t)((wide)k * rate.per_usec * NSEC_PER_USEC / rate.count);
}

uint64_t bench_due_before(struct rate rate, uint64_t begin, uint64_t end)
{
	wide period = (wide)rate.per_usec * NSEC_PER_USEC;

	if (end <= begin)
		return 0;
	return (uint64_t)(((wide)(end - begin) * rate.count + period - 1) / period);
}

void bench_wait_until(uint64_t at)
{
	struct timespec time = {.tv_sec = (time_t)(at / NSEC_PER_SEC),
				.tv_nsec = (long)(at % NSEC_PER_SEC)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR)
		;
}

/* The second number of schedstat. */
uint64_t bench_ready_nsec(void)
{
	char text[128] = "", *second;
	int fd = open("/proc/self/schedstat", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	fd_close(&fd);
	second = strchr(text, ' ');
	return second ? strtoull(second, NULL, 10) : 0;
}

uint64_t bench_cpu_nsec(void)
{
	struct timespec at;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
	return (uint64_t)at.tv_sec * NSEC_PER_SEC + (uint64_t)at.tv_nsec;
}
