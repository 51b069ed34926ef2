/* SPDX-License-Identifier: ISC */
/* The progress and the report, for people. */
#include <config.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/bench.h"

/* From here on what was measured may be the load's own speed. */
#define BUSY_LIMIT 0.9
#define LATE_SHARE 0.01

/* Three digits that say something. */
static int decimals(double value)
{
	return value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
}

const char *bench_time(char *text, double usec)
{
	static const struct {
		double below, factor;
		const char *unit;
	} units[] = {{999.5, 1, "us"}, {999.5e3, 1e3, "ms"}, {INFINITY, 1e6, "s"}};
	unsigned i = 0;

	while (usec >= units[i].below)
		i++;
	double value = usec / units[i].factor;
	snprintf(text, BENCH_TIME_MAX, "%.*f%s", decimals(value), value, units[i].unit);
	return text;
}

const char *bench_amount(char *text, double amount)
{
	static const char units[] = "\0KMGTPE";
	unsigned i = 0;

	if (amount < 99999.5) {
		snprintf(text, BENCH_TIME_MAX, "%.*f",
			 amount == floor(amount) ? 0 : decimals(amount), amount);
		return text;
	}
	for (; amount >= 999.5 && units[i + 1]; i++)
		amount /= 1000;
	snprintf(text, BENCH_TIME_MAX, "%.*f%c", decimals(amount), amount, units[i]);
	return text;
}

double bench_rate(const struct bench_result *result)
{
	return result->seconds > 0 ? (double)result->stats.in_time / result->seconds : 0;
}

static bool is_share(uint64_t part, uint64_t of)
{
	return (double)part > LATE_SHARE * (double)of;
}

static bool late_by_itself(const struct bench_result *result)
{
	return is_share(result->stats.late_own, result->due);
}

bool bench_limited(const struct bench_settings *settings, const struct bench_result *result)
{
	const struct bench_stats *stats = &result->stats;

	if (stats->failed[BENCH_NO_PORTS] || stats->failed[BENCH_NO_DESCRIPTORS])
		return true;
	if (late_by_itself(result))
		return true;
	/* A rate that is kept is kept, however busily. */
	return result->busy >= BUSY_LIMIT &&
	       (!settings->rate.count ||
		is_share(stats->late_busy + result->not_sent, result->due));
}

void bench_progress(const struct bench_stats *stats, uint64_t before, double seconds,
		    double since_begin)
{
	char rate[BENCH_TIME_MAX], p50[BENCH_TIME_MAX], p99[BENCH_TIME_MAX];
	bool terminal = isatty(STDERR_FILENO);

	fprintf(stderr, "%s%4.0f s  %s/s  p50 %s  p99 %s  %" PRIu64 " failed%s",
		terminal ? "\r\033[K" : "", since_begin,
		bench_amount(rate,
			     seconds > 0 ? round((double)(stats->good - before) / seconds) : 0),
		bench_time(p50, bench_times_quantile(&stats->total, 0.5)),
		bench_time(p99, bench_times_quantile(&stats->total, 0.99)),
		bench_stats_failed(stats), terminal ? "" : "\n");
	fflush(stderr);
}

static const char *unit_of(const struct bench_settings *settings)
{
	if (settings->datagrams)
		return "datagrams";
	return settings->keep ? "requests" : "connections";
}

static void print_head(const struct bench_settings *settings, const struct bench_result *result)
{
	char rate[PARSE_TEXT_MAX];

	printf("%s: %s", settings->text, bench_mode_names[settings->mode]);
	if (settings->request)
		printf(", a request of %zu bytes", settings->request_size);
	else if (settings->mode != BENCH_READ)
		printf(", %" PRIu64 " byte%s", settings->size, settings->size == 1 ? "" : "s");
	printf(", %" PRIu64 " client%s", settings->connections,
	       settings->connections == 1 ? "" : "s");
	if (settings->keep)
		printf(" that stay connected");
	if (settings->rate.count)
		printf(", %s", format_rate(rate, settings->rate));
	printf(", %.3g s%s\n\n", result->seconds, result->interrupted ? " (interrupted)" : "");
}

static void print_amount(const char *name, uint64_t amount, double seconds)
{
	char total[BENCH_TIME_MAX], each[BENCH_TIME_MAX];

	printf("%-12s %10s  %10s/s\n", name, bench_amount(total, (double)amount),
	       bench_amount(each, seconds > 0 ? round((double)amount / seconds) : 0));
}

static void print_counts(const struct bench_settings *settings, const struct bench_result *result)
{
	const struct bench_stats *stats = &result->stats;
	char rate[BENCH_TIME_MAX];

	printf("%-12s %10" PRIu64 "  %10s/s\n", unit_of(settings), stats->good,
	       bench_amount(rate, bench_rate(result)));
	print_amount("bytes out", stats->bytes_sent, result->seconds);
	print_amount("bytes in", stats->bytes_received, result->seconds);
	printf("%-12s %10" PRIu64 "\n", "failed", bench_stats_failed(stats));
	if (stats->unfinished)
		printf("%-12s %10" PRIu64 "\n", "unfinished", stats->unfinished);
}

static void print_times(const char *name, const struct bench_times *times)
{
	static const double quantiles[] = {0.5, 0.9, 0.99, 0.999};
	char text[BENCH_TIME_MAX];

	if (histogram_count(&times->histogram) == 0)
		return;
	printf("%-12s", name);
	for (unsigned i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++)
		printf(" %9s", bench_time(text, bench_times_quantile(times, quantiles[i])));
	printf(" %9s\n", bench_time(text, (double)times->max / (double)NSEC_PER_USEC));
}

static void print_errors(const struct bench_stats *stats)
{
	for (unsigned i = 0; i < BENCH_FAILURES; i++) {
		if (!stats->failed[i])
			continue;
		printf("%10" PRIu64 "  %s%s%s%s\n", stats->failed[i], bench_failures[i].text,
		       i == BENCH_OTHER ? ": " : "",
		       i == BENCH_OTHER ? strerror(stats->other_errno) : "",
		       bench_failures[i].own ? " (a limit of this end)" : "");
	}
}

static double percent(uint64_t part, uint64_t of)
{
	return of ? 100 * (double)part / (double)of : 0;
}

static void print_schedule(const struct bench_result *result)
{
	const struct bench_stats *stats = &result->stats;

	printf("\n%" PRIu64 " were due. ", result->due);
	printf("Late: %" PRIu64 " (%.2f %%) since all clients were waiting for the server, ",
	       stats->late_busy, percent(stats->late_busy, stats->begun));
	printf("%" PRIu64 " (%.2f %%) by this end.\n", stats->late_own,
	       percent(stats->late_own, stats->begun));
	if (result->not_sent)
		printf("%" PRIu64 " (%.2f %%) could not be sent before the end; their time, which "
		       "would be the longest, is not in the table.\n",
		       result->not_sent, percent(result->not_sent, result->due));
}

static void print_warning(const struct bench_settings *settings, const struct bench_result *result)
{
	if (!bench_limited(settings, result))
		return;
	printf("\nwarning: this end was the bottleneck, or near it: ");
	if (result->stats.failed[BENCH_NO_PORTS])
		printf("it had no local ports left (net.ipv4.ip_local_port_range)\n");
	else if (result->stats.failed[BENCH_NO_DESCRIPTORS])
		printf("it had no descriptors or memory left (ulimit -n)\n");
	else if (late_by_itself(result))
		printf("it sent %.1f %% late\n", percent(result->stats.late_own, result->due));
	else
		printf("its processes ran, or waited for a CPU, %.0f %% of the time\n",
		       100 * result->busy);
}

void bench_report(const struct bench_settings *settings, const struct bench_result *result)
{
	const struct bench_stats *stats = &result->stats;

	if (settings->progress && isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
	print_head(settings, result);
	print_counts(settings, result);
	print_errors(stats);
	printf("\n%-12s %9s %9s %9s %9s %9s\n", "", "p50", "p90", "p99", "p99.9", "max");
	print_times("connect", &stats->connect);
	print_times("total", &stats->total);
	print_times("sent after", &stats->lag);
	if (settings->rate.count)
		print_schedule(result);
	print_warning(settings, result);
}
