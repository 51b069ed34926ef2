/* SPDX-License-Identifier: ISC */
/* The workers: a sign for each, and a table for those who cannot see signs or point at them. */
#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "handlers/status/html.h"
#include "handlers/status/page.h"

/* More than so many need the whole width. */
#define MANY 60

static enum slot_state state_of(const struct worker_view *worker)
{
	return worker->leaving ? SLOT_LEAVING : worker->state;
}

static char sign_of(enum slot_state state)
{
	static const char signs[SLOT_STATES] = {
		[SLOT_FREE] = '?', [SLOT_STARTING] = 'S', [SLOT_IDLE] = 'i',
		[SLOT_BUSY] = 'B', [SLOT_LEAVING] = 'L',  [SLOT_RUNNING] = 'R'};

	return signs[state];
}

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

/* ---- the grids ---- */

static void write_tally(const struct snapshot *snapshot, uint32_t pool, FILE *out)
{
	unsigned tally[SLOT_STATES] = {0}, all = 0;

	for (uint32_t i = 0; i < snapshot->worker_count; i++)
		if (snapshot->workers[i].pool == pool) {
			tally[state_of(&snapshot->workers[i])]++;
			all++;
		}
	fprintf(out, "%u worker%s", all, plural(all));
	for (unsigned i = 0; i < SLOT_STATES; i++)
		if (tally[i])
			fprintf(out, ", %u %s", tally[i], slot_state_names[i]);
}

static void write_sign(const struct snapshot *snapshot, const struct worker_view *worker, FILE *out)
{
	enum slot_state state = state_of(worker);
	char text[HTML_SHOWN_MAX], client[ADDRESS_TEXT_MAX];

	fprintf(out, "<li class=\"w %s\" title=\"pid %" PRIu32 ": %s", slot_state_names[state],
		worker->pid, slot_state_names[state]);
	if (worker->since_usec)
		fprintf(out, " for %s", html_age(text, snapshot_age(snapshot, worker->since_usec)));
	if (*worker_client(worker, client)) {
		fputs(", serves ", out);
		html_text(out, client);
	}
	if (pool_counts_connections(&snapshot->pools[worker->pool]))
		fprintf(out, ", %s connection%s",
			html_count(text, worker->connections[CONN_accepted]),
			plural(worker->connections[CONN_accepted]));
	fprintf(out, "\">%c</li>\n", sign_of(state));
}

static void write_name(const struct pool_view *pool, FILE *out)
{
	html_text(out, pool->service);
	fputc(' ', out);
	html_text(out, pool->address);
}

static void write_grid(const struct snapshot *snapshot, uint32_t pool, FILE *out)
{
	const struct pool_view *view = &snapshot->pools[pool];

	fprintf(out, "<figure class=\"pool%s\"><figcaption><b>",
		view->values[POOL_workers_running] > MANY ? " many" : "");
	write_name(view, out);
	fputs("</b><span>", out);
	write_tally(snapshot, pool, out);
	fputs("</span></figcaption><ul class=\"grid\" role=\"img\" aria-label=\"", out);
	write_name(view, out);
	fputs(": ", out);
	write_tally(snapshot, pool, out);
	fputs("\">\n", out);
	for (uint32_t i = 0; i < snapshot->worker_count; i++)
		if (snapshot->workers[i].pool == pool)
			write_sign(snapshot, &snapshot->workers[i], out);
	fputs("</ul></figure>\n", out);
}

void page_grids(const struct snapshot *snapshot, FILE *out)
{
	for (uint32_t i = 0; i < snapshot->pool_count; i++)
		write_grid(snapshot, i, out);
}

/* ---- the table ---- */

static void name_cells(const struct worker_view *worker, const struct pool_view *pool, FILE *out)
{
	fprintf(out,
		"<tr role=\"row\">\n<th role=\"rowheader\" scope=\"row\" class=\"n\">%" PRIu32
		"</th>\n<td role=\"cell\" class=\"place\" data-label=\"Service\">",
		worker->pid);
	html_text(out, pool->service);
	fputs("<span class=\"where\">", out);
	html_text(out, pool->address);
	fputs("</span></td>\n", out);
}

static void worker_row(const struct snapshot *snapshot, const struct worker_view *worker, FILE *out)
{
	const struct pool_view *pool = &snapshot->pools[worker->pool];
	char text[HTML_SHOWN_MAX], client[ADDRESS_TEXT_MAX];
	bool known = pool_counts_connections(pool);

	name_cells(worker, pool, out);
	snprintf(text, sizeof(text), "%s%s", slot_state_names[state_of(worker)],
		 worker->torn ? " (torn)" : "");
	html_cell(out, "State", "", text);
	html_cell(out, "For", "n",
		  worker->since_usec ? html_age(text, snapshot_age(snapshot, worker->since_usec))
				     : "–");
	html_cell(out, "Connections", "n",
		  known ? html_count(text, worker->connections[CONN_accepted]) : "–");
	snprintf(text, sizeof(text), "%" PRIu32, worker->generation);
	html_cell(out, "Generation", "n", text);
	html_cell(out, "Age", "n", html_age(text, snapshot_age(snapshot, worker->started_usec)));
	worker_client(worker, client);
	html_cell(out, "Client", *client ? "all" : "all empty", *client ? client : "–");
	fputs("</tr>\n", out);
}

void page_workers(const struct snapshot *snapshot, FILE *out)
{
	for (uint32_t i = 0; i < snapshot->worker_count; i++)
		worker_row(snapshot, &snapshot->workers[i], out);
}
