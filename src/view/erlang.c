/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <math.h>

#include "view/erlang.h"

/* From the chance with one worker less. No powers, no factorials: nothing that overflows, and each
 * step makes the error of the one before smaller. */
static double next_b(double b, uint64_t workers, double load)
{
	return load * b / ((double)workers + load * b);
}

static double c_of_b(double b, uint64_t workers, double load)
{
	double use = load / (double)workers;

	return use < 1 ? b / (1 - use * (1 - b)) : 1;
}

double erlang_b(uint64_t workers, double load)
{
	double b = 1;

	for (uint64_t n = 1; n <= workers; n++)
		b = next_b(b, n, load);
	return b;
}

double erlang_c(uint64_t workers, double load)
{
	return workers > 0 ? c_of_b(erlang_b(workers, load), workers, load) : 1;
}

double erlang_wait(uint64_t workers, double load, double scv)
{
	if (load >= (double)workers)
		return INFINITY;
	return erlang_c(workers, load) / ((double)workers - load) * (1 + scv) / 2;
}

uint64_t erlang_workers(double load, double chance)
{
	double b = 1;

	for (uint64_t n = 1; n <= ERLANG_WORKERS_MAX; n++) {
		b = next_b(b, n, load);
		if (c_of_b(b, n, load) <= chance && load < (double)n)
			return n;
	}
	return 0;
}
