/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/histogram.h"
#include "handlers/status/health.h"
#include "handlers/status/html.h"
#include "handlers/status/page.h"

#define SHOWN_MAX 512

/* Where the program writes. The names are those of page.html. */
/* clang-format off */
#define PLACES(X) \
	X(title) X(instance) X(state_class) X(state) X(facts) X(taken) X(alarm_hidden) X(alarm) \
	X(accepted) X(time) X(busy) X(workers_max) X(queued) X(pools) X(grids) X(workers) \
	X(ledger) X(version)
/* clang-format on */

enum page_place {
#define PLACE(name) PAGE_##name,
	PLACES(PLACE) PAGE_end
};

struct page_part {
	const char *text;
	enum page_place place;
};

#include "handlers/status/page_parts.h"

const char page_policy[] =
	"default-src 'none'; style-src '" PAGE_STYLE_HASH "'; script-src '" PAGE_SCRIPT_HASH
	"'; connect-src 'self'; img-src data:; base-uri 'none'; "
	"form-action 'none'; frame-ancestors 'none'; "
	"require-trusted-types-for 'script'; trusted-types 'none'";

static void write_title(const struct snapshot *snapshot, FILE *out)
{
	html_text(out, snapshot->instance.instance);
	fputs(" – preforkd", out);
}

static void write_instance(const struct snapshot *snapshot, FILE *out)
{
	html_text(out, snapshot->instance.instance);
}

static bool runs(const struct snapshot *snapshot)
{
	return snapshot->instance.state == MASTER_RUNNING ||
	       snapshot->instance.state == MASTER_RELOADING;
}

static void write_state_class(const struct snapshot *snapshot, FILE *out)
{
	if (!runs(snapshot) && snapshot->instance.state != MASTER_STARTING)
		fputs("bad", out);
	else
		fputs(snapshot_healthy(snapshot) ? "good" : "fair", out);
}

static void write_state(const struct snapshot *snapshot, FILE *out)
{
	fprintf(out, "%s%s", master_state_names[snapshot->instance.state],
		snapshot_degraded(snapshot) ? ", degraded" : "");
}

static void write_facts(const struct snapshot *snapshot, FILE *out)
{
	const struct instance_view *instance = &snapshot->instance;
	uint64_t reloads = instance->values[INSTANCE_reloads];
	uint64_t failed = instance->values[INSTANCE_reloads_failed];
	uint64_t now = snapshot->realtime_usec, begun = instance->started_usec;
	char text[HTML_SHOWN_MAX];

	fprintf(out, "up %s · generation %" PRIu64 " · pid %" PRIu32 " · %" PRIu64 " reload%s",
		html_age(text, begun < now ? now - begun : 0),
		instance->values[INSTANCE_generation], instance->pid, reloads,
		reloads == 1 ? "" : "s");
	if (failed)
		fprintf(out, " (%" PRIu64 " refused)", failed);
}

/* Of the world: the sandbox has no file of a time zone. */
static void write_taken(const struct snapshot *snapshot, FILE *out)
{
	time_t seconds = (time_t)(snapshot->realtime_usec / 1000000);
	struct tm parts;
	char text[64];

	if (gmtime_r(&seconds, &parts) && strftime(text, sizeof(text), "%F %T UTC", &parts) > 0)
		fputs(text, out);
}

static void write_alarm_hidden(const struct snapshot *snapshot, FILE *out)
{
	if (!snapshot_degraded(snapshot))
		fputs(" hidden", out);
}

static void write_alarm(const struct snapshot *snapshot, FILE *out)
{
	if (snapshot_degraded(snapshot))
		health_pools(snapshot, out, " · ", html_text);
}

static void write_count(FILE *out, uint64_t count)
{
	char text[HTML_SHOWN_MAX];

	fputs(html_count(text, count), out);
}

static void write_accepted(const struct snapshot *snapshot, FILE *out)
{
	write_count(out, snapshot->instance.connections[CONN_accepted]);
}

static void write_time(const struct snapshot *snapshot, FILE *out)
{
	struct histogram all = {0};
	char text[HTML_SHOWN_MAX];

	for (uint32_t i = 0; i < snapshot->pool_count; i++)
		histogram_merge(&all, &snapshot->pools[i].times);
	fputs(histogram_count(&all) ? html_usec(text, histogram_quantile(&all, 0.5)) : "–", out);
}

static void write_busy(const struct snapshot *snapshot, FILE *out)
{
	uint64_t busy = 0;

	for (uint32_t i = 0; i < snapshot->pool_count; i++)
		busy += snapshot->pools[i].busy;
	write_count(out, busy);
}

static void write_workers_max(const struct snapshot *snapshot, FILE *out)
{
	uint64_t max = 0;

	for (uint32_t i = 0; i < snapshot->pool_count; i++)
		if (pool_counts_connections(&snapshot->pools[i]))
			max += snapshot->pools[i].values[POOL_workers_max];
	write_count(out, max);
}

static void write_queued(const struct snapshot *snapshot, FILE *out)
{
	uint64_t queued = 0;
	bool known = false;

	for (uint32_t i = 0; i < snapshot->pool_count; i++) {
		uint64_t n = snapshot->pools[i].values[POOL_queued];

		if (n == UINT64_MAX)
			continue;
		known = true;
		queued += n;
	}
	if (known)
		write_count(out, queued);
	else
		fputs("–", out);
}

static void write_pools(const struct snapshot *snapshot, FILE *out)
{
	page_pools(snapshot, out);
}

static void write_grids(const struct snapshot *snapshot, FILE *out)
{
	page_grids(snapshot, out);
}

static void write_workers(const struct snapshot *snapshot, FILE *out)
{
	page_workers(snapshot, out);
}

static void write_ledger(const struct snapshot *snapshot, FILE *out)
{
	page_ledger(snapshot, out);
}

static void write_version(const struct snapshot *snapshot, FILE *out)
{
	html_text(out, snapshot->instance.version);
}

void page_write(const struct snapshot *snapshot, FILE *out)
{
	static void (*const writers[])(const struct snapshot *, FILE *) = {
#define WRITER(name) [PAGE_##name] = write_##name,
		PLACES(WRITER)};

	for (const struct page_part *part = page_parts;; part++) {
		fputs(part->text, out);
		if (part->place == PAGE_end)
			return;
		writers[part->place](snapshot, out);
	}
}
