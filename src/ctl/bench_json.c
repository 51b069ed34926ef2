/* SPDX-License-Identifier: ISC */
/* The report, for programs; preforkctl(1) says what its members are. */
#include <config.h>

#include <sysexits.h>

#include "ctl/bench.h"

#ifdef HAVE_JANSSON

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Members that memory was too short for are missing, and the printing fails. */
static void put(json_t *object, const char *name, json_t *value)
{
	json_object_set_new(object, name, value);
}

static void put_number(json_t *object, const char *name, uint64_t value)
{
	put(object, name, json_integer((json_int_t)value));
}

/* To the nanosecond, of microseconds, and a thousandth of all else. */
static void put_real(json_t *object, const char *name, double value)
{
	put(object, name, json_real(round(value * 1000) / 1000));
}

static json_t *times_of(const struct bench_times *times)
{
	uint64_t count = histogram_count(&times->histogram);
	json_t *object;

	if (count == 0)
		return json_null();
	object = json_object();
	put_number(object, "count", count);
	put_real(object, "mean_usec", bench_times_mean(times));
	put_real(object, "p50_usec", bench_times_quantile(times, 0.5));
	put_real(object, "p90_usec", bench_times_quantile(times, 0.9));
	put_real(object, "p99_usec", bench_times_quantile(times, 0.99));
	put_real(object, "p999_usec", bench_times_quantile(times, 0.999));
	put_real(object, "max_usec", (double)times->max / (double)NSEC_PER_USEC);
	return object;
}

static json_t *errors_of(const struct bench_stats *stats)
{
	json_t *object = json_object();

	for (unsigned i = 0; i < BENCH_FAILURES; i++)
		put_number(object, bench_failures[i].name, stats->failed[i]);
	return object;
}

static json_t *schedule_of(const struct bench_settings *settings, const struct bench_result *result)
{
	const struct bench_stats *stats = &result->stats;
	json_t *object;

	if (!settings->rate.count)
		return json_null();
	object = json_object();
	put_real(object, "rate",
		 (double)settings->rate.count * (double)USEC_PER_SEC /
			 (double)settings->rate.per_usec);
	put_number(object, "due", result->due);
	put_number(object, "begun", stats->begun);
	put_number(object, "not_sent", result->not_sent);
	put_number(object, "late_clients_busy", stats->late_busy);
	put_number(object, "late_generator", stats->late_own);
	put(object, "sent_after", times_of(&stats->lag));
	return object;
}

static json_t *generator_of(const struct bench_settings *settings,
			    const struct bench_result *result)
{
	json_t *object = json_object();

	put_number(object, "processes", settings->processes);
	put_number(object, "cpu_usec", result->stats.cpu_nsec / NSEC_PER_USEC);
	put_real(object, "busy", result->busy);
	put(object, "limited", json_boolean(bench_limited(settings, result)));
	return object;
}

static void put_results(json_t *object, const struct bench_result *result)
{
	const struct bench_stats *stats = &result->stats;
	double seconds = result->seconds;

	put_real(object, "seconds", seconds);
	put(object, "interrupted", json_boolean(result->interrupted));
	put_number(object, "good", stats->good);
	put_number(object, "failed", bench_stats_failed(stats));
	put_number(object, "unfinished", stats->unfinished);
	put_real(object, "rate", bench_rate(result));
	put_number(object, "opened", stats->opened);
	put_number(object, "bytes_sent", stats->bytes_sent);
	put_number(object, "bytes_received", stats->bytes_received);
	put(object, "connect", times_of(&stats->connect));
	put(object, "total", times_of(&stats->total));
	put(object, "errors", errors_of(stats));
	put(object, "other_error",
	    stats->failed[BENCH_OTHER] ? json_string(strerror(stats->other_errno)) : json_null());
}

int bench_json(const struct bench_settings *settings, const struct bench_result *result,
	       struct error *err)
{
	json_t *object = json_object();
	int code = 0;

	put(object, "address", json_string(settings->text));
	put(object, "mode", json_string(bench_mode_names[settings->mode]));
	put(object, "keep", json_boolean(settings->keep));
	put_number(object, "clients", settings->connections);
	put_results(object, result);
	put(object, "schedule", schedule_of(settings, result));
	put(object, "generator", generator_of(settings, result));
	if (json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) < 0)
		code = error_set(err, EX_IOERR, "JSON could not be written: %s", strerror(errno));
	putchar('\n');
	json_decref(object);
	return code;
}

#else

int bench_json(const struct bench_settings *settings, const struct bench_result *result,
	       struct error *err)
{
	(void)settings, (void)result;
	return error_set(err, EX_UNAVAILABLE, "--json: this preforkctl was built without jansson");
}

#endif
