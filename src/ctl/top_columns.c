/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/top_columns.h"

/* Further away than this, being full is no news. */
#define SOON 300

/* ---- pools ---- */

static const struct pool_view *pool_at(const struct top_model *model, uint32_t index)
{
	return &model->now.pools[index];
}

const char *top_note(const struct top_model *model, uint32_t pool, char text[TOP_NOTE_MAX])
{
	const struct top_numbers *n = &model->pools[pool];
	uint64_t backoff = pool_at(model, pool)->values[POOL_backoff_usec];
	uint64_t leaving = pool_at(model, pool)->values[POOL_workers_leaving];

	text[0] = '\0';
	if (backoff)
		snprintf(text, TOP_NOTE_MAX, "backs off %" PRIu64 " ms", backoff / 1000);
	else if (n->degraded)
		snprintf(text, TOP_NOTE_MAX, "degraded");
	else if (n->saturated)
		snprintf(text, TOP_NOTE_MAX, "full");
	else if (n->full_in < SOON)
		snprintf(text, TOP_NOTE_MAX, "full in %.0f s", ceil(n->full_in));
	else if (leaving)
		snprintf(text, TOP_NOTE_MAX, "%" PRIu64 " leaving", leaving);
	else if (pool_at(model, pool)->torn)
		snprintf(text, TOP_NOTE_MAX, "torn");
	else if (!pool_counts_connections(pool_at(model, pool)))
		snprintf(text, TOP_NOTE_MAX, "accepts for itself");
	return text;
}

static const char *mark_text(const struct top_model *model, uint32_t index, char text[TOP_CELL_MAX])
{
	const struct top_numbers *n = &model->pools[index];

	return strcpy(text, n->degraded ? "!" : n->saturated ? "*" : "");
}

static const char *service_text(const struct top_model *model, uint32_t index,
				char text[TOP_CELL_MAX])
{
	return strcpy(text, pool_at(model, index)->service);
}

static const char *address_text(const struct top_model *model, uint32_t index,
				char text[TOP_CELL_MAX])
{
	return strcpy(text, pool_at(model, index)->address);
}

static const char *workers_text(const struct top_model *model, uint32_t index,
				char text[TOP_CELL_MAX])
{
	const struct top_numbers *n = &model->pools[index];
	char busy[TOP_NUMBER_MAX], ready[TOP_NUMBER_MAX], max[TOP_NUMBER_MAX];

	snprintf(text, TOP_CELL_MAX, "%s/%s/%s", top_number(busy, n->busy),
		 top_number(ready, n->ready), top_number(max, n->max));
	return text;
}

static const char *note_text(const struct top_model *model, uint32_t index, char text[TOP_CELL_MAX])
{
	return top_note(model, index, text);
}

/* A column of a member of struct top_numbers. */
#define NUMBER(member, format)                                                          \
	static double member##_value(const struct top_model *model, uint32_t index)     \
	{                                                                               \
		return model->pools[index].member;                                      \
	}                                                                               \
	static const char *member##_text(const struct top_model *model, uint32_t index, \
					 char text[TOP_CELL_MAX])                       \
	{                                                                               \
		return format(text, model->pools[index].member);                        \
	}
NUMBER(rate, top_number)
NUMBER(p50, top_time)
NUMBER(p99, top_time)
NUMBER(queued, top_number)
NUMBER(refused, top_number)
NUMBER(errors, top_number)

static double busy_value(const struct top_model *model, uint32_t index)
{
	return model->pools[index].busy;
}

static const float *rate_ring(const struct top_numbers *numbers)
{
	return numbers->history->rate;
}

static const float *busy_ring(const struct top_numbers *numbers)
{
	return numbers->history->busy;
}

static const struct top_column pool_columns[] = {
	{.title = "", .text = mark_text, .width = 1, .width_most = 1, .tight = true},
	{.title = "SERVICE",
	 .key = 'S',
	 .help = "name of the service",
	 .text = service_text,
	 .width = 8,
	 .width_most = BOARD_NAME_MAX},
	{.title = "ADDRESS",
	 .key = 'A',
	 .help = "where it listens",
	 .text = address_text,
	 .width = 20,
	 .width_most = BOARD_ADDRESS_MAX},
	{.title = "BUSY/READY/MAX",
	 .narrow = "WORKERS",
	 .key = 'B',
	 .help = "workers: with a client / ready / at most",
	 .text = workers_text,
	 .value = busy_value,
	 .align = TOP_RIGHT,
	 .width = 8,
	 .width_most = 17},
	{.title = "RATE/S",
	 .key = 'R',
	 .help = "connections taken, a second",
	 .text = rate_text,
	 .value = rate_value,
	 .align = TOP_RIGHT,
	 .width = 6,
	 .width_most = 6},
	{.title = "RATE",
	 .help = "the rate's curve, as high as its own maximum",
	 .ring = rate_ring,
	 .width = 8,
	 .width_most = TOP_HISTORY,
	 .drop = 1},
	{.title = "P50",
	 .key = 'T',
	 .help = "time of a connection, the median of the last 10 to 20 s",
	 .text = p50_text,
	 .value = p50_value,
	 .align = TOP_RIGHT,
	 .width = 5,
	 .width_most = 5,
	 .drop = 5},
	{.title = "P99",
	 .key = 'U',
	 .help = "time that 1 % of connections exceed",
	 .text = p99_text,
	 .value = p99_value,
	 .align = TOP_RIGHT,
	 .width = 5,
	 .width_most = 5,
	 .drop = 2},
	{.title = "QUEUE",
	 .key = 'Q',
	 .help = "clients that wait for a worker",
	 .text = queued_text,
	 .value = queued_value,
	 .align = TOP_RIGHT,
	 .width = 5,
	 .width_most = 5},
	{.title = "REF/S",
	 .key = 'F',
	 .help = "refused by a limit or rule, a second",
	 .text = refused_text,
	 .value = refused_value,
	 .align = TOP_RIGHT,
	 .width = 5,
	 .width_most = 5,
	 .drop = 3},
	{.title = "ERR/S",
	 .key = 'E',
	 .help = "timed out or aborted, a second",
	 .text = errors_text,
	 .value = errors_value,
	 .align = TOP_RIGHT,
	 .width = 5,
	 .width_most = 5,
	 .drop = 4},
	{.title = "BUSY",
	 .help = "the curve of the share of busy workers, up to all of them",
	 .ring = busy_ring,
	 .most = 1,
	 .width = 8,
	 .width_most = TOP_HISTORY,
	 .drop = 6},
	{.title = "NOTE",
	 .help = "what is out of the ordinary",
	 .text = note_text,
	 .width = 12,
	 .width_most = TOP_NOTE_MAX,
	 .drop = 7},
	{0},
};

/* ---- workers ---- */

static const struct worker_view *worker_at(const struct top_model *model, uint32_t index)
{
	return &model->now.workers[index];
}

static bool counts(const struct top_model *model, uint32_t index)
{
	return pool_counts_connections(pool_at(model, worker_at(model, index)->pool));
}

static const char *count_text(uint64_t count, char text[TOP_CELL_MAX])
{
	snprintf(text, TOP_CELL_MAX, "%" PRIu64, count);
	return text;
}

static const char *pid_text(const struct top_model *model, uint32_t index, char text[TOP_CELL_MAX])
{
	return count_text(worker_at(model, index)->pid, text);
}

static double pid_value(const struct top_model *model, uint32_t index)
{
	return worker_at(model, index)->pid;
}

static const char *state_text(const struct top_model *model, uint32_t index,
			      char text[TOP_CELL_MAX])
{
	const struct worker_view *worker = worker_at(model, index);

	snprintf(text, TOP_CELL_MAX, "%s%s", worker_state(worker), worker->torn ? " (torn)" : "");
	return text;
}

static const char *generation_text(const struct top_model *model, uint32_t index,
				   char text[TOP_CELL_MAX])
{
	return count_text(worker_at(model, index)->generation, text);
}

static double generation_value(const struct top_model *model, uint32_t index)
{
	return worker_at(model, index)->generation;
}

static double age_value(const struct top_model *model, uint32_t index)
{
	return (double)snapshot_age(&model->now, worker_at(model, index)->started_usec);
}

static const char *age_text(const struct top_model *model, uint32_t index, char text[TOP_CELL_MAX])
{
	return ctl_age(text, (uint64_t)age_value(model, index));
}

static double connections_value(const struct top_model *model, uint32_t index)
{
	return counts(model, index) ? (double)worker_at(model, index)->connections[CONN_accepted]
				    : NAN;
}

static const char *connections_text(const struct top_model *model, uint32_t index,
				    char text[TOP_CELL_MAX])
{
	if (!counts(model, index))
		return strcpy(text, "-");
	return count_text(worker_at(model, index)->connections[CONN_accepted], text);
}

static double since_value(const struct top_model *model, uint32_t index)
{
	uint64_t since = worker_at(model, index)->since_usec;

	return since ? (double)snapshot_age(&model->now, since) : NAN;
}

static const char *since_text(const struct top_model *model, uint32_t index,
			      char text[TOP_CELL_MAX])
{
	double since = since_value(model, index);

	if (isnan(since))
		return strcpy(text, "-");
	return since < 1e6 ? top_time(text, since) : ctl_age(text, (uint64_t)since);
}

static const char *client_text(const struct top_model *model, uint32_t index,
			       char text[TOP_CELL_MAX])
{
	return worker_client(worker_at(model, index), text);
}

static const struct top_column worker_columns[] = {
	{.title = "PID",
	 .key = 'P',
	 .help = "process ID",
	 .text = pid_text,
	 .value = pid_value,
	 .rises = true,
	 .align = TOP_RIGHT,
	 .width = 7,
	 .width_most = 10},
	{.title = "STATE",
	 .key = 'S',
	 .help = "idle, busy, starting, leaving, running",
	 .text = state_text,
	 .width = 8,
	 .width_most = 15},
	{.title = "SINCE",
	 .key = 'B',
	 .help = "for how long it has been serving, or idle",
	 .text = since_text,
	 .value = since_value,
	 .align = TOP_RIGHT,
	 .width = 7,
	 .width_most = 8},
	{.title = "CONNECTIONS",
	 .key = 'N',
	 .help = "that it has taken",
	 .text = connections_text,
	 .value = connections_value,
	 .align = TOP_RIGHT,
	 .width = 11,
	 .width_most = 20,
	 .drop = 2},
	{.title = "AGE",
	 .key = 'A',
	 .help = "for how long it has been there",
	 .text = age_text,
	 .value = age_value,
	 .align = TOP_RIGHT,
	 .width = 7,
	 .width_most = 8,
	 .drop = 1},
	{.title = "GEN",
	 .key = 'G',
	 .help = "generation of the configuration that it carries",
	 .text = generation_text,
	 .value = generation_value,
	 .align = TOP_RIGHT,
	 .width = 4,
	 .width_most = 10,
	 .drop = 3},
	{.title = "CLIENT",
	 .key = 'C',
	 .help = "whom it serves",
	 .text = client_text,
	 .width = 10,
	 .width_most = ADDRESS_TEXT_MAX},
	{0},
};

/* ---- both ---- */

const struct top_column *top_columns(enum top_view view)
{
	return view == TOP_POOLS ? pool_columns : worker_columns;
}

int top_column_of_key(enum top_view view, int key)
{
	const struct top_column *columns = top_columns(view);

	for (int i = 0; columns[i].title; i++)
		if (columns[i].key && columns[i].key == key)
			return i;
	return -1;
}

int top_column_next(enum top_view view, int column, int step)
{
	const struct top_column *columns = top_columns(view);

	for (int i = column + step; i >= 0 && columns[i].title; i += step)
		if (columns[i].key)
			return i;
	return column;
}
