/* SPDX-License-Identifier: ISC */
/* The verb advise: how many workers. */
#include <config.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "ctl/advise.h"
#include "view/erlang.h"

#define WAIT_DEFAULT     0.01
#define INTERVAL_DEFAULT (10 * USEC_PER_SEC)
#define INTERVAL_LEAST   (USEC_PER_SEC / 10)
#define LOAD_MOST        100000

/* `1%` `0.5%`, more than 0 and less than 100. */
static int parse_wait(const char *text, double *chance, struct error *err)
{
	char *end = NULL;
	double value = NAN;

	if (*text >= '0' && *text <= '9' && strspn(text, "0123456789.") + 1 == strlen(text))
		value = strtod(text, &end);
	if (!end || strcmp(end, "%") != 0 || !(value > 0 && value < 100))
		return error_set(
			err, EX_USAGE,
			"--wait: \"%s\" is no share; write 1%% or 0.1%%, between 0 and 100", text);
	*chance = value / 100;
	return 0;
}

static int parse_interval(const char *text, uint64_t *usec, struct error *err)
{
	if (parse_duration(text, usec) < 0 || (*usec > 0 && *usec < INTERVAL_LEAST) ||
	    *usec > 3600 * USEC_PER_SEC)
		return error_set(err, EX_USAGE,
				 "--interval: \"%s\" is no duration from 100ms to 1h, nor 0 (since "
				 "the start)",
				 text);
	return 0;
}

/* Without a daemon. */
static int compute(const struct ctl *ctl, double chance, struct advised *advised, struct error *err)
{
	struct rate rate;
	uint64_t usec;

	if (!ctl->advise.rate || !ctl->advise.time)
		return error_set(err, EX_USAGE, "--rate and --time go together");
	if (ctl->advise.interval)
		return error_set(err, EX_USAGE,
				 "--interval is to measure: not with --rate and --time");
	if (parse_rate(ctl->advise.rate, &rate) < 0 || rate.count == 0)
		return error_set(err, EX_USAGE, "--rate: \"%s\" is no rate; write 200/s or 600/m",
				 ctl->advise.rate);
	if (parse_duration(ctl->advise.time, &usec) < 0 || usec == 0)
		return error_set(err, EX_USAGE,
				 "--time: \"%s\" is no duration; write 50ms, 2s or 5m",
				 ctl->advise.time);
	double per_second = (double)rate.count / (double)rate.per_usec * USEC_PER_SEC;
	double seconds = (double)usec / USEC_PER_SEC;
	if (per_second * seconds > LOAD_MOST)
		return error_set(err, EX_USAGE, "%g erlangs are more than %d workers could serve",
				 per_second * seconds, LOAD_MOST);
	*advised = (struct advised){.advice = advice_of(per_second, seconds, 1, chance, 0)};
	return 0;
}

static int print(const struct ctl *ctl, const struct advised *advised, size_t count,
		 struct error *err)
{
	if (ctl->json)
		return advise_json(advised, count, err);
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			putchar('\n');
		advise_print(&advised[i]);
	}
	return 0;
}

static int alone(const struct ctl *ctl, int argc, double chance, struct error *err)
{
	struct advised advised;

	if (argc > 0)
		return error_set(err, EX_USAGE, "--rate and --time are of no service");
	if (compute(ctl, chance, &advised, err) < 0)
		return -1;
	return print(ctl, &advised, 1, err);
}

static int advise_pools(const struct ctl *ctl, const struct advise_looks *looks, double chance,
			struct error *err)
{
	const struct snapshot *now = &looks->now;
	struct advised *advised = calloc(now->pool_count + 1, sizeof(*advised));
	int result = 0;

	if (!advised)
		return error_set(err, EX_OSERR, "out of memory");
	for (uint32_t i = 0; i < now->pool_count; i++)
		advised[i] = (struct advised){
			.pool = &now->pools[i],
			.advice = advice_compute(&looks->before.pools[i], &now->pools[i],
						 &looks->rates[i], &looks->meanwhile[i], chance),
			.seconds = looks->rates[i].seconds,
			.worker_bytes = advise_worker_bytes(now, i),
		};
	result = print(ctl, advised, now->pool_count, err);
	for (uint32_t i = 0; i < now->pool_count && result == 0; i++)
		if (advice_is_short(&advised[i].advice))
			result = CTL_EXIT_FAILED;
	free(advised);
	return result;
}

int advise_run(const struct ctl *ctl, int argc, char **argv, struct error *err)
{
	struct advise_looks looks = {0};
	double chance = WAIT_DEFAULT;
	uint64_t interval = INTERVAL_DEFAULT;
	int result;

	if (ctl->advise.wait && parse_wait(ctl->advise.wait, &chance, err) < 0)
		return -1;
	if (ctl->advise.rate || ctl->advise.time)
		return alone(ctl, argc, chance, err);
	if (ctl->advise.interval && parse_interval(ctl->advise.interval, &interval, err) < 0)
		return -1;
	result = advise_look(&looks, ctl, argv, argc, interval, err);
	if (result == 0)
		result = advise_pools(ctl, &looks, chance, err);
	advise_looks_free(&looks);
	return result;
}
