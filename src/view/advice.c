/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <math.h>
#include <string.h>

#include "base/parse.h"
#include "view/advice.h"
#include "view/erlang.h"

/* With fewer clients than this their rate is not known to 20 %. */
#define CLIENTS_FEW 100
/* Exponential times have 1; from here on the mean wait says little about anybody's wait. */
#define SCV_HEAVY 4
/* Random arrivals have 1; of ten parts, more than this by chance in one of a thousand. */
#define DISPERSION_MOST 3
/* A share of workers_max that is busy on average, from which on some surely waited. */
#define USE_SATURATED 0.95

const char *const advice_warning_names[ADVICE_WARNINGS] = {
	[ADVICE_UNSEEN] = "unseen",         [ADVICE_NOTHING] = "nobody_came",
	[ADVICE_FEW] = "few_clients",       [ADVICE_SATURATED] = "saturated",
	[ADVICE_HEAVY_TAIL] = "heavy_tail", [ADVICE_UNSTEADY] = "unsteady",
	[ADVICE_LONG] = "long_clients",     [ADVICE_DATAGRAMS] = "datagrams",
};

const char *const advice_warning_texts[ADVICE_WARNINGS] = {
	[ADVICE_UNSEEN] = "its workers are copies of a program that accepts for itself: their "
			  "connections are not seen",
	[ADVICE_NOTHING] = "nobody came: there is nothing to go by",
	[ADVICE_FEW] = "fewer than 100 clients were seen: a guess; measure for longer",
	[ADVICE_SATURATED] = "the pool was full: more came than were served, so the number is the "
			     "least that it can be; give it more and measure again",
	[ADVICE_HEAVY_TAIL] = "a few clients take very long (heavy tail): they hold workers for "
			      "long, and who waits then waits longer than the mean says",
	[ADVICE_UNSTEADY] = "the rate was not steady: clients come in bursts, or it changes; "
			    "measure when most come",
	[ADVICE_LONG] = "clients take so long that few of them ended: measure for longer",
	[ADVICE_DATAGRAMS] = "datagrams: those that the kernel dropped are not counted",
};

static void warn_if(struct advice *advice, bool condition, enum advice_warning warning)
{
	if (condition)
		advice->warnings |= 1U << warning;
}

bool advice_warns(const struct advice *advice, enum advice_warning warning)
{
	return advice->warnings & (1U << warning);
}

double advice_scv(const struct histogram *times)
{
	double count = 0, sum = 0, squares = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		double n = (double)times->counts[i], value = (double)histogram_value(i);

		count += n;
		sum += n * value;
		squares += n * value * value;
	}
	if (count == 0 || sum == 0)
		return 1;
	return fmax(0, squares * count / (sum * sum) - 1);
}

struct advice advice_of(double rate, double time, double scv, double chance, uint64_t there)
{
	struct advice a = {
		.rate = rate,
		.time = time,
		.scv = scv,
		.load = rate * time,
		.chance = chance,
		.there = there,
	};

	a.needed = erlang_workers(a.load, chance);
	a.needed_chance = erlang_c(a.needed, a.load);
	a.needed_wait = erlang_wait(a.needed, a.load, scv) * time;
	a.there_chance = erlang_c(there, a.load);
	a.there_wait = erlang_wait(there, a.load, scv) * time;
	if (a.load == 0)
		a.needed_wait = a.there_wait = 0;
	return a;
}

static bool is_datagrams(const struct pool_view *pool)
{
	return strncmp(pool->address, "udp", 3) == 0 || strncmp(pool->address, "unixgram", 8) == 0;
}

static uint64_t waiting(const struct pool_view *pool)
{
	return pool->queued == UINT64_MAX ? 0 : pool->queued;
}

static bool full(const struct pool_view *pool)
{
	return pool->busy > 0 && pool->busy >= pool->values[POOL_workers_max];
}

static bool was_saturated(const struct pool_view *before, const struct pool_view *now,
			  const struct pool_rates *rates)
{
	uint64_t most = now->values[POOL_workers_max];

	return now->values[POOL_full] > before->values[POOL_full] ||
	       (full(now) && (full(before) || waiting(now) > 0)) ||
	       (most > 0 && rates->busy >= USE_SATURATED * (double)most);
}

/* Those that joined the queue came too. */
static double arrivals(const struct pool_view *before, const struct pool_view *now,
		       const struct pool_rates *rates)
{
	double grown = (double)waiting(now) - (double)waiting(before);

	return fmax(0, rates->accepted + (grown > 0 ? grown / rates->seconds : 0));
}

struct advice advice_compute(const struct pool_view *before, const struct pool_view *now,
			     const struct pool_rates *rates,
			     const struct advice_meanwhile *meanwhile, double chance)
{
	uint64_t there = now->values[POOL_workers_max];
	double ended = rates->ended * rates->seconds, came = rates->accepted * rates->seconds;
	double time = rates->ended > 0 ? rates->busy / rates->ended : 0;
	struct advice a = advice_of(arrivals(before, now, rates), time, advice_scv(&rates->times),
				    chance, there);

	if (!pool_counts_connections(now)) {
		a = (struct advice){.chance = chance, .there = there};
		warn_if(&a, true, ADVICE_UNSEEN);
		return a;
	}
	warn_if(&a, ended == 0 && now->busy == 0, ADVICE_NOTHING);
	warn_if(&a, ended < CLIENTS_FEW && !advice_warns(&a, ADVICE_NOTHING), ADVICE_FEW);
	warn_if(&a, now->busy > 0 && (double)now->busy > ended / 2 && came < 2 * ended + 1,
		ADVICE_LONG);
	warn_if(&a, meanwhile->saturated || was_saturated(before, now, rates), ADVICE_SATURATED);
	warn_if(&a, a.scv > SCV_HEAVY, ADVICE_HEAVY_TAIL);
	warn_if(&a, meanwhile->dispersion > DISPERSION_MOST, ADVICE_UNSTEADY);
	warn_if(&a, is_datagrams(now), ADVICE_DATAGRAMS);
	return a;
}

bool advice_is_short(const struct advice *advice)
{
	return !advice_warns(advice, ADVICE_UNSEEN) &&
	       (advice->needed == 0 || advice->needed > advice->there);
}

struct advice_keys advice_keys(const struct advice *advice)
{
	uint64_t most = advice->needed, usual = (uint64_t)ceil(advice->load);
	struct advice_keys keys = {.workers = usual < 1 ? 1 : usual, .workers_max = most};

	if (keys.workers >= most)
		return (struct advice_keys){.workers = most, .workers_max = most};
	/* As many as come beyond the mean more often than not. */
	keys.spare = (uint64_t)ceil(sqrt(advice->load));
	if (keys.spare < 1)
		keys.spare = 1;
	if (keys.spare > most - keys.workers)
		keys.spare = most - keys.workers;
	return keys;
}
