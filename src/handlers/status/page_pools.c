/* SPDX-License-Identifier: ISC */
/* The pools as rows. */
#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "base/histogram.h"
#include "handlers/status/html.h"
#include "handlers/status/page.h"

#define TEXT_MAX (2 * HTML_SHOWN_MAX)
#define UNKNOWN  "–"

static void name_cell(const struct pool_view *pool, FILE *out)
{
	fputs("<tr role=\"row\">\n<th role=\"rowheader\" scope=\"row\">", out);
	html_text(out, pool->service);
	fputs("<span class=\"where\">", out);
	html_text(out, pool->address);
	if (strcmp(pool->handler, pool->service) != 0) {
		fputc(' ', out);
		html_text(out, pool->handler);
	}
	fputs("</span></th>\n", out);
}

static void busy_cell(const struct pool_view *pool, FILE *out)
{
	uint64_t max = pool->values[POOL_workers_max];
	char text[HTML_SHOWN_MAX];

	if (!pool_counts_connections(pool)) {
		html_cell(out, "Busy", "", UNKNOWN);
		return;
	}
	html_count(text, pool->busy);
	fprintf(out,
		"<td role=\"cell\" data-label=\"Busy\"><meter max=\"%" PRIu64 "\" low=\"%g\" "
		"high=\"%g\" optimum=\"0\" value=\"%" PRIu64 "\" aria-label=\"%s busy\"></meter>"
		"<span>%s</span></td>\n",
		max ? max : 1, 0.75 * (double)max, 0.995 * (double)max, pool->busy, text, text);
}

static void workers_cells(const struct pool_view *pool, FILE *out)
{
	uint64_t queued = pool->values[POOL_queued], limit = pool->values[POOL_queue_limit];
	char text[TEXT_MAX], a[HTML_SHOWN_MAX], b[HTML_SHOWN_MAX];

	busy_cell(pool, out);
	snprintf(text, sizeof(text), "%" PRIu64 " of %" PRIu64, pool->values[POOL_workers_ready],
		 pool->values[POOL_workers_max]);
	html_cell(out, "Ready", "n", text);
	if (queued == UINT64_MAX)
		snprintf(text, sizeof(text), UNKNOWN);
	else if (limit == UINT64_MAX || limit == 0)
		html_count(text, queued);
	else
		snprintf(text, sizeof(text), "%s of %s", html_count(a, queued),
			 html_count(b, limit));
	html_cell(out, "Queue", queued && queued != UINT64_MAX ? "n warn" : "n", text);
	/* Of two looks, which the reader makes. */
	html_cell(out, "Per second", "n", UNKNOWN);
}

static void time_cell(FILE *out, const char *label, const struct histogram *times, double share)
{
	char text[HTML_SHOWN_MAX];

	html_cell(out, label, "n",
		  histogram_count(times) ? html_usec(text, histogram_quantile(times, share))
					 : UNKNOWN);
}

static void count_cell(FILE *out, const char *label, const struct pool_view *pool, uint64_t count,
		       bool loss)
{
	char text[HTML_SHOWN_MAX];

	if (!pool_counts_connections(pool))
		html_cell(out, label, "n", UNKNOWN);
	else
		html_cell(out, label, loss && count ? "n warn" : "n", html_count(text, count));
}

/* Who looks at this page keeps one of the workers of its own pool busy. */
static bool is_full(const struct pool_view *pool)
{
	uint64_t max = pool->values[POOL_workers_max], queued = pool->values[POOL_queued];

	return pool_counts_connections(pool) && max > 0 && pool->busy >= max &&
	       (strcmp(pool->handler, "status") != 0 || (queued > 0 && queued != UINT64_MAX));
}

static void state_cell(const struct pool_view *pool, FILE *out)
{
	uint64_t leaving = pool->values[POOL_workers_leaving];
	bool degraded = pool_degraded(pool);
	bool full = is_full(pool);
	char text[TEXT_MAX] = "", *end = text;

	if (degraded)
		end = stpcpy(end, "degraded, ");
	if (full)
		end = stpcpy(end, "full, ");
	if (leaving)
		end += sprintf(end, "%" PRIu64 " leaving, ", leaving);
	if (pool->torn)
		end = stpcpy(end, "torn, ");
	if (end == text)
		strcpy(text, "ok");
	else
		end[-2] = '\0';
	html_cell(out, "State",
		  degraded || full ? "all wrong"
		  : end == text    ? "all"
				   : "all warn",
		  text);
}

static void pool_row(const struct pool_view *pool, FILE *out)
{
	const uint64_t *c = pool->connections;

	name_cell(pool, out);
	state_cell(pool, out);
	workers_cells(pool, out);
	time_cell(out, "p50", &pool->times, 0.5);
	time_cell(out, "p99", &pool->times, 0.99);
	time_cell(out, "Wait p99", &pool->waits, 0.99);
	count_cell(out, "Accepted", pool, c[CONN_accepted], false);
	count_cell(out, "Finished", pool, c[CONN_finished], false);
	count_cell(out, "Refused", pool, view_sum(c, "refused_"), true);
	count_cell(out, "Timed out", pool, c[CONN_timed_out], true);
	count_cell(out, "Aborted", pool, view_sum(c, "aborted_"), true);
	fputs("</tr>\n", out);
}

void page_pools(const struct snapshot *snapshot, FILE *out)
{
	for (uint32_t i = 0; i < snapshot->pool_count; i++)
		pool_row(&snapshot->pools[i], out);
}
