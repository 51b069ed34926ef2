/* SPDX-License-Identifier: ISC */
/* The verb status: the board once. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "ctl/ctl.h"
#include "ctl/table.h"
#include "ctl/top_text.h"
#include "view/json.h"
#include "view/queues.h"
#include "view/snapshot.h"

/* How often a board that is replaced while it is read is read again. */
#define TAKES 5
/* A text of the board and room for its escapes. */
#define SHOWN_MAX (4 * BOARD_ADDRESS_MAX)

static const struct table_column pool_columns[] = {
	{"SERVICE", TABLE_LEFT, 0},   {"ADDRESS", TABLE_LEFT, 0},  {"HANDLER", TABLE_LEFT, 9},
	{"WORKERS", TABLE_RIGHT, 0},  {"BUSY", TABLE_RIGHT, 0},    {"QUEUE", TABLE_RIGHT, 0},
	{"P50", TABLE_RIGHT, 5},      {"P99", TABLE_RIGHT, 2},     {"ACCEPTED", TABLE_RIGHT, 3},
	{"FINISHED", TABLE_RIGHT, 6}, {"REFUSED", TABLE_RIGHT, 4}, {"TIMED-OUT", TABLE_RIGHT, 8},
	{"ABORTED", TABLE_RIGHT, 7},  {"", TABLE_LEFT, 0},
};

static const struct table_column worker_columns[] = {
	{"PID", TABLE_RIGHT, 0},         {"SERVICE", TABLE_LEFT, 0},     {"ADDRESS", TABLE_LEFT, 0},
	{"STATE", TABLE_LEFT, 0},        {"GENERATION", TABLE_RIGHT, 0}, {"AGE", TABLE_RIGHT, 0},
	{"CONNECTIONS", TABLE_RIGHT, 0}, {"SINCE", TABLE_RIGHT, 0},      {"CLIENT", TABLE_LEFT, 0},
};

static const char *format_time(char *text, size_t room, uint64_t realtime_usec)
{
	time_t seconds = (time_t)(realtime_usec / USEC_PER_SEC);
	struct tm parts;

	if (!localtime_r(&seconds, &parts) ||
	    strftime(text, room, "%Y-%m-%d %H:%M:%S %Z", &parts) == 0)
		snprintf(text, room, "?");
	return text;
}

static void print_totals(const struct snapshot *snapshot)
{
	uint64_t ready = 0, wanted = 0, busy = 0;
	char ledger[CTL_LEDGER_MAX];

	for (uint32_t i = 0; i < snapshot->pool_count; i++) {
		ready += snapshot->pools[i].values[POOL_workers_ready];
		wanted += snapshot->pools[i].values[POOL_workers_max];
		busy += snapshot->pools[i].busy;
	}
	printf("%" PRIu32 " pool%s, %" PRIu64 "/%" PRIu64 " workers ready, %" PRIu64 " busy\n",
	       snapshot->pool_count, snapshot->pool_count == 1 ? "" : "s", ready, wanted, busy);
	printf("%s\n", ctl_ledger(ledger, snapshot->instance.connections));
}

/* One generation alone has what the totals say. */
static void print_generations(const struct ledgers_view *ledgers)
{
	char text[CTL_BRIEF_MAX];

	for (size_t i = 0; ledgers->generation_count > 1 && i < ledgers->generation_count; i++) {
		const struct ledger_view *g = &ledgers->generations[i];

		if (g->connections[CONN_accepted] == 0 && g->queued_at_close == 0)
			continue;
		if (g->number)
			printf("generation %" PRIu32 ": %s\n", g->number, ctl_brief(text, g));
		else
			printf("generations before: %s\n", ctl_brief(text, g));
	}
}

static void print_replaced(const struct snapshot *snapshot)
{
	static const struct {
		enum verdict_kind kind;
		const char *name, *whose;
	} kinds[] = {{VERDICT_RELOAD, "last reload", "the workers of before"},
		     {VERDICT_UPGRADE, "last upgrade", "the workers of before"},
		     {VERDICT_STOP, "stop", "the workers"}};
	char text[CTL_BRIEF_MAX], age[CTL_AGE_MAX];

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const struct ledger_view *l = &snapshot->ledgers.replaced[kinds[i].kind];
		uint64_t now = snapshot->realtime_usec;

		if (l->connections[CONN_accepted] == 0 && l->queued_at_close == 0)
			continue;
		printf("%s, %s ago: %s had %s\n", kinds[i].name,
		       ctl_age(age, l->at_usec < now ? now - l->at_usec : 0), kinds[i].whose,
		       ctl_brief(text, l));
	}
}

static enum table_mark state_mark(const struct snapshot *snapshot)
{
	enum master_state state = snapshot->instance.state;

	if (state == MASTER_GONE)
		return TABLE_BAD;
	return state == MASTER_RUNNING ? TABLE_GOOD : TABLE_WARNING;
}

static void print_headline(const struct snapshot *snapshot, const struct table_look *look)
{
	enum table_mark mark = state_mark(snapshot);
	bool degraded = snapshot_degraded(snapshot);
	const struct instance_view *instance = &snapshot->instance;
	uint64_t now = snapshot->realtime_usec, started = instance->started_usec;
	char name[4 * BOARD_NAME_MAX], version[4 * BOARD_NAME_MAX], since[64], age[CTL_AGE_MAX];

	printf("preforkd %s: %s%s%s%s%s%s, pid %" PRIu32 ", since %s (%s), generation %" PRIu64
	       ", version %s\n",
	       ctl_escape(name, sizeof(name), instance->instance), table_paint(look, mark),
	       master_state_names[instance->state], table_unpaint(look, mark),
	       degraded ? table_paint(look, TABLE_BAD) : "", degraded ? ", degraded" : "",
	       degraded ? table_unpaint(look, TABLE_BAD) : "", instance->pid,
	       format_time(since, sizeof(since), started),
	       ctl_age(age, started < now ? now - started : 0),
	       instance->values[INSTANCE_generation],
	       ctl_escape(version, sizeof(version), instance->version));
}

/* Appends to the last column. */
static void __attribute__((format(printf, 3, 4)))
note(char *text, size_t room, const char *format, ...)
{
	size_t length = strlen(text);
	va_list args;

	if (length > 0)
		length += (size_t)snprintf(text + length, room - length, ", ");
	va_start(args, format);
	vsnprintf(text + length, room - length, format, args);
	va_end(args);
}

/* The last column: what is out of the ordinary about a pool. */
static void add_notes(struct table *table, const struct pool_view *pool)
{
	uint64_t backoff = pool->values[POOL_backoff_usec];
	uint64_t leaving = pool->values[POOL_workers_leaving];
	bool bad = pool_degraded(pool) || pool_saturated(pool);
	char text[256] = "";

	if (backoff)
		note(text, sizeof(text), "degraded: backs off %" PRIu64 " ms", backoff / 1000);
	else if (pool_degraded(pool))
		note(text, sizeof(text), "degraded");
	if (pool_saturated(pool))
		note(text, sizeof(text), "saturated");
	if (leaving)
		note(text, sizeof(text), "%" PRIu64 " leaving", leaving);
	if (pool->torn)
		note(text, sizeof(text), "torn");
	table_add(table, "%s", text);
	table_mark(table, bad ? TABLE_BAD : TABLE_WARNING);
}

/* An acceptor's are not seen: none would be a lie. */
static void add_count(struct table *table, const struct pool_view *pool, uint64_t count)
{
	if (pool_counts_connections(pool))
		table_add(table, "%" PRIu64, count);
	else
		table_add(table, "-");
}

static void add_queue(struct table *table, const struct pool_view *pool)
{
	uint64_t queued = pool->queued, limit = pool->queue_limit;

	if (queued == UINT64_MAX)
		table_add(table, "-");
	else if (limit == UINT64_MAX)
		table_add(table, "%" PRIu64, queued);
	else
		table_add(table, "%" PRIu64 "/%" PRIu64, queued, limit);
	if (queued != UINT64_MAX && queued > 0)
		table_mark(table, queued >= limit ? TABLE_BAD : TABLE_WARNING);
}

static void add_time(struct table *table, const struct histogram *histogram, double share)
{
	char text[TOP_NUMBER_MAX];

	table_add(table, "%s",
		  top_time(text, histogram_count(histogram)
					 ? (double)histogram_quantile(histogram, share)
					 : NAN));
}

static void add_pool(struct table *table, const struct pool_view *pool)
{
	char text[SHOWN_MAX];

	table_add(table, "%s", ctl_escape(text, sizeof(text), pool->service));
	table_add(table, "%s", ctl_escape(text, sizeof(text), pool->address));
	table_add(table, "%s", ctl_escape(text, sizeof(text), pool->handler));
	table_add(table, "%" PRIu64 "/%" PRIu64, pool->values[POOL_workers_ready],
		  pool->values[POOL_workers_max]);
	add_count(table, pool, pool->busy);
	if (pool_saturated(pool))
		table_mark(table, TABLE_BAD);
	add_queue(table, pool);
	add_time(table, &pool->times, 0.5);
	add_time(table, &pool->times, 0.99);
	add_count(table, pool, pool->connections[CONN_accepted]);
	add_count(table, pool, pool->connections[CONN_finished]);
	add_count(table, pool, view_sum(pool->connections, "refused_"));
	add_count(table, pool, pool->connections[CONN_timed_out]);
	add_count(table, pool, view_sum(pool->connections, "aborted_"));
	add_notes(table, pool);
}

static enum table_mark worker_mark(const struct worker_view *worker)
{
	if (worker->leaving || worker->state == SLOT_LEAVING || worker->state == SLOT_STARTING)
		return TABLE_WARNING;
	return worker->state == SLOT_BUSY ? TABLE_GOOD : TABLE_PLAIN;
}

static void add_worker(struct table *table, const struct snapshot *snapshot,
		       const struct worker_view *worker)
{
	const struct pool_view *pool = &snapshot->pools[worker->pool];
	char text[SHOWN_MAX], age[CTL_AGE_MAX], client[ADDRESS_TEXT_MAX];

	table_add(table, "%" PRIu32, worker->pid);
	table_add(table, "%s", ctl_escape(text, sizeof(text), pool->service));
	table_add(table, "%s", ctl_escape(text, sizeof(text), pool->address));
	table_add(table, "%s%s", worker_state(worker), worker->torn ? " (torn)" : "");
	table_mark(table, worker_mark(worker));
	table_add(table, "%" PRIu32, worker->generation);
	table_add(table, "%s", ctl_age(age, snapshot_age(snapshot, worker->started_usec)));
	add_count(table, pool, worker->connections[CONN_accepted]);
	table_add(table, "%s",
		  worker->since_usec ? ctl_age(age, snapshot_age(snapshot, worker->since_usec))
				     : "");
	table_add(table, "%s", worker_client(worker, client));
}

static int print_table(struct table *table, const struct table_look *look, struct error *err)
{
	int result = 0;

	putchar('\n');
	if (table_print(table, look) < 0)
		result = error_set(err, EX_OSERR, "%s", strerror(errno));
	table_free(table);
	return result;
}

static int print_text(const struct snapshot *snapshot, const struct table_look *look, bool workers,
		      struct error *err)
{
	struct table pool_table = TABLE(pool_columns);
	struct table worker_table = TABLE(worker_columns);

	print_headline(snapshot, look);
	print_totals(snapshot);
	print_generations(&snapshot->ledgers);
	print_replaced(snapshot);
	for (uint32_t i = 0; i < snapshot->pool_count; i++)
		add_pool(&pool_table, &snapshot->pools[i]);
	if (print_table(&pool_table, look, err) < 0)
		return -1;
	advise_saturated(snapshot);
	if (!workers)
		return 0;
	for (uint32_t i = 0; i < snapshot->worker_count; i++)
		add_worker(&worker_table, snapshot, &snapshot->workers[i]);
	return print_table(&worker_table, look, err);
}

static int exit_code(const struct snapshot *snapshot)
{
	if (snapshot->instance.state == MASTER_GONE)
		return CTL_EXIT_NOT_RUNNING;
	return snapshot_healthy(snapshot) ? 0 : CTL_EXIT_FAILED;
}

/* Again when an upgrade has put a new board there meanwhile: nobody holds the old one's lock. */
int ctl_snapshot(struct snapshot *snapshot, const struct ctl *ctl, int argc, char **argv,
		 struct error *err)
{
	char directory[PATH_MAX];
	struct board_reader reader;
	bool replaced = true;
	int result = -1;

	if (ctl_directory(ctl, directory, sizeof(directory), err) < 0)
		return -1;
	for (int i = 0; i < TAKES && replaced; i++) {
		snapshot_free(snapshot);
		if (board_open(&reader, directory, err) < 0)
			return ctl_not_running(err);
		result = snapshot_take(snapshot, &reader, argv, argc, err);
		if (result == 0)
			snapshot_ask_queues(snapshot);
		replaced = board_replaced(&reader, directory);
		board_close(&reader);
	}
	return result;
}

int status_run(const struct ctl *ctl, int argc, char **argv, struct error *err)
{
	struct snapshot snapshot = {0};
	struct table_look look;
	int result = table_look_of(&look, ctl->color, err);

	/* Everything about them, or nothing. */
	if (ctl->workers)
		look.width = 0;
	if (result == 0)
		result = ctl_snapshot(&snapshot, ctl, argc, argv, err);

	if (result == 0 && ctl->json)
		result = view_json(&snapshot, stdout, err);
	else if (result == 0)
		result = print_text(&snapshot, &look, ctl->workers, err);
	if (result == 0)
		result = exit_code(&snapshot);
	snapshot_free(&snapshot);
	return result;
}
