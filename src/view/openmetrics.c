/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sysexits.h>

#include "base/histogram.h"
#include "base/log_escape.h"
#include "view/openmetrics.h"

#define NAME_MAX_SIZE 128
#define SAFE_MAX      (4 * BOARD_ADDRESS_MAX)

/* A family of metrics that is being written. */
struct family {
	FILE *out;
	bool open;                  /* OpenMetrics; else the text format of Prometheus */
	char sample[NAME_MAX_SIZE]; /* what its samples are called */
	bool seconds;               /* its values are microseconds */
};

/* Bounds for people and alerts; a bucket of the board counts by the value that stands for it. */
static const struct {
	uint64_t usec;
	const char *le;
} bounds[] = {
	{25, "0.000025"},     {50, "0.00005"},        {100, "0.0001"},    {250, "0.00025"},
	{500, "0.0005"},      {1000, "0.001"},        {2500, "0.0025"},   {5000, "0.005"},
	{10000, "0.01"},      {25000, "0.025"},       {50000, "0.05"},    {100000, "0.1"},
	{250000, "0.25"},     {500000, "0.5"},        {1000000, "1.0"},   {2500000, "2.5"},
	{5000000, "5.0"},     {10000000, "10.0"},     {30000000, "30.0"}, {60000000, "60.0"},
	{300000000, "300.0"}, {3600000000, "3600.0"},
};
#define BOUNDS (sizeof(bounds) / sizeof(bounds[0]))

/* ---- the parts of a line ---- */

static void put_quoted(FILE *out, const char *text)
{
	char safe[SAFE_MAX];

	log_escape_line(safe, sizeof(safe), text, strlen(text));
	fputc('"', out);
	for (const char *p = safe; *p; p++) {
		if (*p == '"' || *p == '\\')
			fputc('\\', out);
		fputc(*p, out);
	}
	fputc('"', out);
}

/* Opens the braces; whoever calls it closes them. */
static void put_pool(FILE *out, const struct pool_view *pool)
{
	fputs("{service=", out);
	put_quoted(out, pool->service);
	fputs(",address=", out);
	put_quoted(out, pool->address);
}

static void put_value(const struct family *f, uint64_t value)
{
	if (f->seconds)
		fprintf(f->out, " %" PRIu64 ".%06" PRIu64 "\n", value / 1000000, value % 1000000);
	else
		fprintf(f->out, " %" PRIu64 "\n", value);
}

static void pool_sample(const struct family *f, const struct pool_view *pool, uint64_t value)
{
	fputs(f->sample, f->out);
	put_pool(f->out, pool);
	fputc('}', f->out);
	put_value(f, value);
}

static void plain_sample(const struct family *f, uint64_t value)
{
	fputs(f->sample, f->out);
	put_value(f, value);
}

/* ---- the head of a family ---- */

/* OpenMetrics calls a family without what its samples have behind its name. */
static void begin(struct family *f, const char *prefix, const char *name, const char *type,
		  const char *suffix, const char *help)
{
	size_t length = strlen(name);
	const char *unit = "";
	char family[NAME_MAX_SIZE];

	f->seconds = length > 5 && strcmp(name + length - 5, "_usec") == 0;
	if (f->seconds) {
		length -= 5;
		unit = "_seconds";
	}
	snprintf(family, sizeof(family), "%s%.*s%s", prefix, (int)length, name, unit);
	snprintf(f->sample, sizeof(f->sample), "%s%s", family, suffix);
	if (!f->open)
		snprintf(family, sizeof(family), "%s", f->sample);
	fprintf(f->out, "# TYPE %s %s\n", family, type);
	if (f->open && f->seconds)
		fprintf(f->out, "# UNIT %s seconds\n", family);
	fprintf(f->out, "# HELP %s %s\n", family, help);
}

static void begin_field(struct family *f, const char *prefix, const struct field_info *field)
{
	bool counter = field->type == FIELD_COUNTER;

	begin(f, prefix, field->name, counter ? "counter" : "gauge", counter ? "_total" : "",
	      field->help);
}

static void begin_gauge(struct family *f, const char *prefix, const char *name, const char *help)
{
	begin(f, prefix, name, "gauge", "", help);
}

/* ---- the instance ---- */

static void instance_info(struct family *f, const struct instance_view *instance)
{
	begin(f, "preforkd_", "instance", f->open ? "info" : "gauge", "_info",
	      "The instance and its version.");
	fprintf(f->out, "%s{name=", f->sample);
	put_quoted(f->out, instance->instance);
	fputs(",version=", f->out);
	put_quoted(f->out, instance->version);
	fputs("} 1\n", f->out);
}

static void instance_state(struct family *f, const struct instance_view *instance)
{
	begin(f, "preforkd_", "instance_state", f->open ? "stateset" : "gauge", "",
	      "1 for the state of the master, 0 for the others.");
	for (unsigned i = 0; i < MASTER_STATES; i++)
		fprintf(f->out, "%s{preforkd_instance_state=\"%s\"} %d\n", f->sample,
			master_state_names[i], i == instance->state);
}

static void instance_connections(struct family *f, const struct instance_view *instance)
{
	static const char prefix[] = "preforkd_instance_connections_";

	for (size_t i = 0; i < CONNECTION_FIELDS; i++) {
		begin_field(f, prefix, &connection_fields[i]);
		plain_sample(f, instance->connections[i]);
	}
	begin_gauge(f, prefix, "open", "Connections that are being served.");
	plain_sample(f, view_open(instance->connections));
}

static void put_instance(struct family *f, const struct snapshot *snapshot)
{
	static const char prefix[] = "preforkd_instance_";
	const struct instance_view *instance = &snapshot->instance;

	instance_info(f, instance);
	instance_state(f, instance);
	begin_gauge(f, prefix, "degraded", "1 when a pool has fewer workers than it should have.");
	plain_sample(f, snapshot_degraded(snapshot));
	begin_gauge(f, prefix, "start_time_usec", "When the master began, since 1970.");
	plain_sample(f, instance->started_usec);
	for (size_t i = 0; i < INSTANCE_FIELDS; i++) {
		begin_field(f, prefix, &instance_fields[i]);
		plain_sample(f, instance->values[i]);
	}
	instance_connections(f, instance);
}

/* ---- the pools ---- */

static void pool_histogram(struct family *f, const struct pool_view *pool,
			   const struct histogram *histogram)
{
	uint64_t seen = 0, count = histogram_count(histogram);
	unsigned bucket = 0;

	for (size_t i = 0; i < BOUNDS; i++) {
		while (bucket < HISTOGRAM_BUCKETS && histogram_value(bucket) <= bounds[i].usec)
			seen += histogram->counts[bucket++];
		fprintf(f->out, "%s_bucket", f->sample);
		put_pool(f->out, pool);
		fprintf(f->out, ",le=\"%s\"} %" PRIu64 "\n", bounds[i].le, seen);
	}
	fprintf(f->out, "%s_bucket", f->sample);
	put_pool(f->out, pool);
	fprintf(f->out, ",le=\"+Inf\"} %" PRIu64 "\n%s_sum", count, f->sample);
	put_pool(f->out, pool);
	fputc('}', f->out);
	put_value(f, histogram->sum);
	fprintf(f->out, "%s_count", f->sample);
	put_pool(f->out, pool);
	fprintf(f->out, "} %" PRIu64 "\n", count);
}

static void put_histograms(struct family *f, const struct snapshot *snapshot)
{
	begin(f, "preforkd_pool_", "connection_usec", "histogram", "",
	      "From accept to end, of connections that were served.");
	for (uint32_t i = 0; i < snapshot->pool_count; i++)
		if (pool_counts_connections(&snapshot->pools[i]))
			pool_histogram(f, &snapshot->pools[i], &snapshot->pools[i].times);
	begin(f, "preforkd_pool_", "queue_wait_usec", "histogram", "",
	      "In the queue before accept, of the clients whose wait is known.");
	for (uint32_t i = 0; i < snapshot->pool_count; i++)
		if (histogram_count(&snapshot->pools[i].waits) > 0)
			pool_histogram(f, &snapshot->pools[i], &snapshot->pools[i].waits);
}

/* Of the pools whose connections are seen. */
static void put_connections(struct family *f, const struct snapshot *snapshot)
{
	for (size_t i = 0; i < CONNECTION_FIELDS; i++) {
		begin_field(f, "preforkd_pool_", &connection_fields[i]);
		for (uint32_t p = 0; p < snapshot->pool_count; p++)
			if (pool_counts_connections(&snapshot->pools[p]))
				pool_sample(f, &snapshot->pools[p],
					    snapshot->pools[p].connections[i]);
	}
}

static uint64_t pool_idle(const struct pool_view *pool)
{
	return pool->idle;
}

static uint64_t pool_busy(const struct pool_view *pool)
{
	return pool->busy;
}

static uint64_t pool_open(const struct pool_view *pool)
{
	return view_open(pool->connections);
}

static uint64_t pool_is_degraded(const struct pool_view *pool)
{
	return pool_degraded(pool);
}

static uint64_t pool_torn(const struct pool_view *pool)
{
	return pool->torn;
}

/* What is made of the fields. */
static void put_derived(struct family *f, const struct snapshot *snapshot)
{
	static const struct {
		const char *name, *help;
		uint64_t (*value)(const struct pool_view *);
		bool seen; /* only where connections are */
	} gauges[] = {
		{"workers_idle", "Workers that wait for a client.", pool_idle, true},
		{"workers_busy", "Workers that serve a client.", pool_busy, true},
		{"open", "Connections that are being served.", pool_open, true},
		{"degraded", "1 when it has fewer workers than it should have.", pool_is_degraded,
		 false},
		{"torn", "1 when a writer was in the way: its numbers may not add up.", pool_torn,
		 false},
	};

	for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++) {
		begin_gauge(f, "preforkd_pool_", gauges[i].name, gauges[i].help);
		for (uint32_t p = 0; p < snapshot->pool_count; p++)
			if (!gauges[i].seen || pool_counts_connections(&snapshot->pools[p]))
				pool_sample(f, &snapshot->pools[p],
					    gauges[i].value(&snapshot->pools[p]));
	}
}

static void put_pools(struct family *f, const struct snapshot *snapshot)
{
	for (size_t i = 0; i < POOL_FIELDS; i++) {
		begin_field(f, "preforkd_pool_", &pool_fields[i]);
		for (uint32_t p = 0; p < snapshot->pool_count; p++)
			if (snapshot->pools[p].values[i] != UINT64_MAX)
				pool_sample(f, &snapshot->pools[p], snapshot->pools[p].values[i]);
	}
	put_derived(f, snapshot);
	put_connections(f, snapshot);
	put_histograms(f, snapshot);
}

static int write_all(const struct snapshot *snapshot, FILE *out, bool open, struct error *err)
{
	struct family f = {.out = out, .open = open};

	put_instance(&f, snapshot);
	put_pools(&f, snapshot);
	if (open)
		fputs("# EOF\n", out);
	if (fflush(out) != 0 || ferror(out))
		return error_set(err, EX_IOERR, "metrics could not be written: %s",
				 strerror(errno));
	return 0;
}

int view_openmetrics(const struct snapshot *snapshot, FILE *out, struct error *err)
{
	return write_all(snapshot, out, true, err);
}

int view_prometheus(const struct snapshot *snapshot, FILE *out, struct error *err)
{
	return write_all(snapshot, out, false, err);
}
