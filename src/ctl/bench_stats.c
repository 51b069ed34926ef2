/* SPDX-License-Identifier: ISC */
/* Counting what came of the requests, and the tables of names. */
#include <config.h>

#include <errno.h>

#include "ctl/bench.h"

const char *const bench_mode_names[BENCH_MODES] = {
	[BENCH_ECHO] = "echo", [BENCH_DISCARD] = "discard", [BENCH_READ] = "read",
	[BENCH_LINE] = "line", [BENCH_REQUEST] = "request", [BENCH_HTTP] = "http",
};

const struct bench_failure_info bench_failures[BENCH_FAILURES] = {
	[BENCH_REFUSED] = {"refused", "connection refused", false},
	[BENCH_UNREACHABLE] = {"unreachable", "unreachable", false},
	[BENCH_RESET] = {"reset", "connection reset", false},
	[BENCH_TIMED_OUT] = {"timed_out", "timed out", false},
	[BENCH_CLOSED_EARLY] = {"closed_early", "closed early", false},
	[BENCH_WRONG_REPLY] = {"wrong_reply", "wrong reply", false},
	[BENCH_LOST] = {"lost", "datagram without a reply", false},
	[BENCH_OTHER] = {"other", "other error", false},
	[BENCH_NO_PORTS] = {"no_ports", "no local port left", true},
	[BENCH_NO_DESCRIPTORS] = {"no_descriptors", "no descriptor or memory left", true},
};

enum bench_failure bench_failure_of(int errnum)
{
	switch (errnum) {
	case ECONNREFUSED:
	case ENOENT:
		return BENCH_REFUSED;
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EHOSTDOWN:
	case ENETDOWN:
		return BENCH_UNREACHABLE;
	case ECONNRESET:
	case EPIPE:
		return BENCH_RESET;
	case ETIMEDOUT:
		return BENCH_TIMED_OUT;
	case EADDRNOTAVAIL:
	case EADDRINUSE:
		return BENCH_NO_PORTS;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		return BENCH_NO_DESCRIPTORS;
	default:
		return BENCH_OTHER;
	}
}

void bench_times_add(struct bench_times *times, uint64_t nsec)
{
	histogram_add(&times->histogram, nsec, 1);
	if (nsec > times->max)
		times->max = nsec;
}

void bench_times_merge(struct bench_times *into, const struct bench_times *from)
{
	histogram_merge(&into->histogram, &from->histogram);
	if (from->max > into->max)
		into->max = from->max;
}

double bench_times_quantile(const struct bench_times *times, double q)
{
	uint64_t value = histogram_quantile(&times->histogram, q);

	/* The value that stands for the last bucket can be above every one in it. */
	return (double)(value < times->max ? value : times->max) / (double)NSEC_PER_USEC;
}

double bench_times_mean(const struct bench_times *times)
{
	uint64_t count = histogram_count(&times->histogram);

	return count ? (double)times->histogram.sum / (double)count / (double)NSEC_PER_USEC : 0;
}

void bench_stats_merge(struct bench_stats *into, const struct bench_stats *from)
{
	into->begun += from->begun;
	into->good += from->good;
	into->in_time += from->in_time;
	for (unsigned i = 0; i < BENCH_FAILURES; i++)
		into->failed[i] += from->failed[i];
	if (from->other_errno)
		into->other_errno = from->other_errno;
	into->unfinished += from->unfinished;
	into->opened += from->opened;
	into->bytes_sent += from->bytes_sent;
	into->bytes_received += from->bytes_received;
	into->late_busy += from->late_busy;
	into->late_own += from->late_own;
	if (from->last_nsec > into->last_nsec)
		into->last_nsec = from->last_nsec;
	into->cpu_nsec += from->cpu_nsec;
	into->ready_nsec += from->ready_nsec;
	bench_times_merge(&into->connect, &from->connect);
	bench_times_merge(&into->total, &from->total);
	bench_times_merge(&into->lag, &from->lag);
}

uint64_t bench_stats_failed(const struct bench_stats *stats)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < BENCH_FAILURES; i++)
		sum += stats->failed[i];
	return sum;
}
