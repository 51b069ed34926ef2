/* SPDX-License-Identifier: ISC */
/* What is measured for advise: looks at the board in equal steps. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "ctl/advise.h"

/* Whether the rate is steady is seen from so many parts of the interval. */
#define PARTS 10
/* With fewer clients in a part chance looks unsteady too. */
#define PART_CLIENTS_LEAST 5

/* Of the clients that came in each part, for each pool of the last look. */
struct parts {
	double sum[BOARD_POOLS], squares[BOARD_POOLS];
	bool saturated[BOARD_POOLS];
};

static int take(struct snapshot *snapshot, const struct ctl *ctl, char **services, int count,
		struct error *err)
{
	int result = ctl_snapshot(snapshot, ctl, count, services, err);

	if (result != 0 || snapshot->instance.state != MASTER_GONE)
		return result;
	error_set(err, EX_UNAVAILABLE, "its master (pid %" PRIu32 ") is gone",
		  snapshot->instance.pid);
	return ctl_not_running(err);
}

static void wait_until(uint64_t usec)
{
	struct timespec until = {.tv_sec = (time_t)(usec / USEC_PER_SEC),
				 .tv_nsec = (long)(usec % USEC_PER_SEC) * 1000};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		continue;
}

static void show_progress(unsigned part, uint64_t interval_usec)
{
	if (!isatty(STDERR_FILENO))
		return;
	if (part < PARTS)
		fprintf(stderr, "\rmeasuring: %.0f of %.0f s ",
			(double)interval_usec * part / PARTS / USEC_PER_SEC,
			(double)interval_usec / USEC_PER_SEC);
	else
		fprintf(stderr, "\r%40s\r", "");
}

/* By the order of the first look: a reload in between makes it another one, and then nothing is
 * said. */
static void add_part(struct parts *parts, const struct snapshot *from, const struct snapshot *to)
{
	for (uint32_t i = 0; i < to->pool_count && i < from->pool_count; i++) {
		uint64_t earlier = from->pools[i].connections[CONN_accepted];
		uint64_t later = to->pools[i].connections[CONN_accepted];
		double n = later > earlier ? (double)(later - earlier) : 0;

		parts->sum[i] += n;
		parts->squares[i] += n * n;
		parts->saturated[i] = parts->saturated[i] || pool_saturated(&to->pools[i]);
	}
}

static double dispersion(const struct parts *parts, uint32_t pool)
{
	double mean = parts->sum[pool] / PARTS;

	if (mean < PART_CLIENTS_LEAST)
		return NAN;
	return (parts->squares[pool] - PARTS * mean * mean) / (PARTS - 1) / mean;
}

/* `last` is of the look before, and then of the last. */
static int look_on(struct snapshot *last, struct parts *parts, const struct ctl *ctl,
		   char **services, int count, uint64_t interval_usec, struct error *err)
{
	uint64_t start = last->monotonic_usec;
	struct snapshot next = {0};

	for (unsigned part = 1; part <= PARTS; part++) {
		show_progress(part - 1, interval_usec);
		wait_until(start + interval_usec * part / PARTS);
		if (take(&next, ctl, services, count, err) < 0) {
			snapshot_free(&next);
			return -1;
		}
		add_part(parts, last, &next);
		snapshot_free(last);
		*last = next;
		next = (struct snapshot){0};
	}
	show_progress(PARTS, interval_usec);
	return 0;
}

/* An empty daemon, at its start. */
static void forget(struct snapshot *snapshot)
{
	uint64_t age = snapshot->realtime_usec - snapshot->instance.started_usec;

	if (age > snapshot->realtime_usec || age >= snapshot->monotonic_usec)
		age = 1;
	snapshot->monotonic_usec -= age;
	snapshot->realtime_usec -= age;
	for (uint32_t i = 0; i < snapshot->pool_count; i++) {
		struct pool_view *pool = &snapshot->pools[i];

		memset(pool->connections, 0, sizeof(pool->connections));
		memset(&pool->times, 0, sizeof(pool->times));
		memset(&pool->waits, 0, sizeof(pool->waits));
		pool->values[POOL_full] = 0;
		pool->busy = 0;
		pool->queued = UINT64_MAX;
	}
}

static bool same_pools(const struct snapshot *before, const struct snapshot *now)
{
	if (before->pool_count != now->pool_count)
		return false;
	for (uint32_t i = 0; i < now->pool_count; i++)
		if (strcmp(before->pools[i].service, now->pools[i].service) != 0 ||
		    strcmp(before->pools[i].address, now->pools[i].address) != 0)
			return false;
	return true;
}

static int measure(struct advise_looks *looks, struct parts *parts, const struct ctl *ctl,
		   char **services, int count, uint64_t interval_usec, struct error *err)
{
	if (take(&looks->before, ctl, services, count, err) < 0 ||
	    take(&looks->now, ctl, services, count, err) < 0)
		return -1;
	if (interval_usec == 0)
		forget(&looks->before);
	else if (look_on(&looks->now, parts, ctl, services, count, interval_usec, err) < 0)
		return -1;
	if (!same_pools(&looks->before, &looks->now))
		return error_set(err, EX_TEMPFAIL,
				 "the services changed while they were measured; try again");
	rates_compute(&looks->before, &looks->now, looks->rates);
	for (uint32_t i = 0; i < looks->now.pool_count; i++)
		looks->meanwhile[i] = (struct advice_meanwhile){
			.dispersion = interval_usec ? dispersion(parts, i) : NAN,
			.saturated = parts->saturated[i],
		};
	return 0;
}

int advise_look(struct advise_looks *looks, const struct ctl *ctl, char **services, int count,
		uint64_t interval_usec, struct error *err)
{
	struct parts *parts = calloc(1, sizeof(*parts));
	int result = -1;

	*looks = (struct advise_looks){
		.rates = calloc(BOARD_POOLS, sizeof(*looks->rates)),
		.meanwhile = calloc(BOARD_POOLS, sizeof(*looks->meanwhile)),
	};
	if (!parts || !looks->rates || !looks->meanwhile)
		error_set(err, EX_OSERR, "out of memory");
	else
		result = measure(looks, parts, ctl, services, count, interval_usec, err);
	free(parts);
	return result;
}

void advise_looks_free(struct advise_looks *looks)
{
	snapshot_free(&looks->before);
	snapshot_free(&looks->now);
	free(looks->rates);
	free(looks->meanwhile);
}

/* What a further one costs: its own pages, not those it shares with its siblings. */
static uint64_t private_bytes(uint32_t pid)
{
	char path[64], line[256];
	uint64_t sum = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%" PRIu32 "/smaps_rollup", pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, "Private_Clean:", 14) == 0 ||
		    strncmp(line, "Private_Dirty:", 14) == 0)
			sum += 1024 * strtoull(line + 14, NULL, 10);
	fclose(file);
	return sum;
}

uint64_t advise_worker_bytes(const struct snapshot *snapshot, uint32_t pool)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < snapshot->worker_count && bytes == 0; i++)
		if (snapshot->workers[i].pool == pool)
			bytes = private_bytes(snapshot->workers[i].pid);
	return bytes;
}
