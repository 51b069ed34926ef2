/* SPDX-License-Identifier: ISC */
/* Advice for people. */
#include <config.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "ctl/advise.h"
#include "view/erlang.h"

#define TIME_MAX  32
#define SHOWN_MAX (4 * BOARD_ADDRESS_MAX)

static const char *show_time(char text[TIME_MAX], double seconds)
{
	if (isinf(seconds))
		snprintf(text, TIME_MAX, "for ever");
	else if (seconds < 1e-3)
		snprintf(text, TIME_MAX, "%.3g us", seconds * 1e6);
	else if (seconds < 1)
		snprintf(text, TIME_MAX, "%.3g ms", seconds * 1e3);
	else
		snprintf(text, TIME_MAX, "%.4g s", seconds);
	return text;
}

static const char *show_share(char text[TIME_MAX], double share)
{
	/* Of 0 nobody could be sure. */
	if (share > 0 && share < 0.00001)
		snprintf(text, TIME_MAX, "< 0.001 %%");
	else
		snprintf(text, TIME_MAX, "%.3g %%", share * 100);
	return text;
}

static void print_title(const struct advised *advised)
{
	const struct pool_view *pool = advised->pool;
	char service[SHOWN_MAX], address[SHOWN_MAX];

	if (!pool)
		return;
	printf("%s at %s", ctl_escape(service, sizeof(service), pool->service),
	       ctl_escape(address, sizeof(address), pool->address));
	if (advised->seconds > 0)
		printf(", in %.4g s", advised->seconds);
	putchar('\n');
}

static void print_load(const struct advice *a)
{
	char time[TIME_MAX];

	printf("  %.4g clients a second, %s each (", a->rate, show_time(time, a->time));
	if (a->scv != 1)
		printf("spread %.2g of that, ", sqrt(a->scv));
	printf("%.4g erlangs: so many workers are busy on average)\n", a->load);
}

static void print_workers(const char *label, uint64_t workers, double chance, double wait)
{
	char share[TIME_MAX], mean[TIME_MAX];

	printf("  %s %" PRIu64 " worker%s: ", label, workers, workers == 1 ? "" : "s");
	if (isinf(wait))
		printf("fewer than the load, the queue grows\n");
	else
		printf("%s of them wait, %s on average over all\n", show_share(share, chance),
		       show_time(mean, wait));
}

static void print_verdict(const struct advised *advised)
{
	const struct advice *a = &advised->advice;
	char share[TIME_MAX];

	if (a->needed == 0) {
		printf("  more than %d workers would be needed\n", ERLANG_WORKERS_MAX);
		return;
	}
	printf("  for a wait in %s of connections you need %s%" PRIu64,
	       show_share(share, a->chance), advice_warns(a, ADVICE_SATURATED) ? "at least " : "",
	       a->needed);
	if (advised->pool)
		printf("; you have %" PRIu64, a->there);
	putchar('\n');
	print_workers("with", a->needed, a->needed_chance, a->needed_wait);
	if (a->there && a->there != a->needed)
		print_workers("with", a->there, a->there_chance, a->there_wait);
}

static void print_memory(const struct advised *advised)
{
	const struct advice *a = &advised->advice;

	if (advised->worker_bytes && a->needed)
		printf("  memory: about %.3g MB for %" PRIu64 " workers, %" PRIu64 " kB each\n",
		       (double)advised->worker_bytes * (double)a->needed / 1e6, a->needed,
		       advised->worker_bytes / 1000);
}

static void print_keys(const struct advice *a)
{
	struct advice_keys keys = advice_keys(a);

	if (a->needed == 0)
		return;
	printf("  configuration:\n      workers     = %" PRIu64 "\n", keys.workers);
	printf("      workers_max = %" PRIu64 "\n", keys.workers_max);
	if (keys.spare)
		printf("      spare       = %" PRIu64 "\n", keys.spare);
}

static void print_warnings(const struct advice *a)
{
	for (int i = 0; i < ADVICE_WARNINGS; i++)
		if (advice_warns(a, (enum advice_warning)i))
			printf("  note: %s\n", advice_warning_texts[i]);
}

void advise_print(const struct advised *advised)
{
	const struct advice *a = &advised->advice;

	print_title(advised);
	if (!advice_warns(a, ADVICE_UNSEEN) && !advice_warns(a, ADVICE_NOTHING)) {
		print_load(a);
		print_verdict(advised);
		print_memory(advised);
		print_keys(a);
	}
	print_warnings(a);
}

void advise_saturated(const struct snapshot *snapshot)
{
	char service[SHOWN_MAX], address[SHOWN_MAX];

	for (uint32_t i = 0; i < snapshot->pool_count; i++) {
		const struct pool_view *pool = &snapshot->pools[i];
		uint64_t most = pool->values[POOL_workers_max], full = pool->values[POOL_full];
		bool now = pool->queued != UINT64_MAX && pool->queued > 0 && pool->busy >= most &&
			   most > 0;

		if (!pool_counts_connections(pool) || (full == 0 && !now))
			continue;
		ctl_escape(service, sizeof(service), pool->service);
		printf("%s at %s: ", service, ctl_escape(address, sizeof(address), pool->address));
		if (now)
			printf("all %" PRIu64 " workers are busy and %" PRIu64 " client%s wait%s",
			       most, pool->queued, pool->queued == 1 ? "" : "s",
			       pool->queued == 1 ? "s" : "");
		else
			printf("was full at %" PRIu64 " look%s, one a second", full,
			       full == 1 ? "" : "s");
		printf("; preforkctl advise %s tells how many it needs\n", service);
	}
}
