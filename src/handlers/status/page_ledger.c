/* SPDX-License-Identifier: ISC */
/* What became of connections: by generations, and in the last reload, upgrade and stop. */
#include <config.h>

#include <inttypes.h>

#include "handlers/status/html.h"
#include "handlers/status/page.h"

static void count_cell(FILE *out, const char *label, const char *class, uint64_t count)
{
	char text[HTML_SHOWN_MAX];

	html_cell(out, label, class, html_count(text, count));
}

static void loss_cell(FILE *out, const char *label, uint64_t count)
{
	count_cell(out, label, count ? "n warn" : "n", count);
}

static void ledger_row(const struct snapshot *snapshot, const char *title,
		       const struct ledger_view *ledger, FILE *out)
{
	const uint64_t *c = ledger->connections;
	uint64_t now = snapshot->realtime_usec;
	char age[HTML_SHOWN_MAX], text[HTML_SHOWN_MAX + 8] = "–";

	fprintf(out, "<tr role=\"row\">\n<th role=\"rowheader\" scope=\"row\">%s</th>\n", title);
	if (ledger->at_usec)
		snprintf(text, sizeof(text), "%s ago",
			 html_age(age, ledger->at_usec < now ? now - ledger->at_usec : 0));
	html_cell(out, "Since", "n", text);
	count_cell(out, "Workers", "n", ledger->workers);
	count_cell(out, "Accepted", "n", c[CONN_accepted]);
	count_cell(out, "Finished", "n", c[CONN_finished]);
	loss_cell(out, "Refused", view_sum(c, "refused_"));
	loss_cell(out, "Timed out", c[CONN_timed_out]);
	loss_cell(out, "Aborted", view_sum(c, "aborted_"));
	count_cell(out, "Open", "n", view_open(c));
	count_cell(out, "Queued at close", ledger->queued_at_close ? "n wrong" : "n",
		   ledger->queued_at_close);
	fputs("</tr>\n", out);
}

static void generation_rows(const struct snapshot *snapshot, FILE *out)
{
	char title[64];

	for (size_t i = 0; i < snapshot->ledgers.generation_count; i++) {
		const struct ledger_view *g = &snapshot->ledgers.generations[i];

		if (g->number)
			snprintf(title, sizeof(title), "generation %" PRIu32, g->number);
		else if (g->connections[CONN_accepted])
			snprintf(title, sizeof(title), "generations before");
		else
			continue;
		ledger_row(snapshot, title, g, out);
	}
}

void page_ledger(const struct snapshot *snapshot, FILE *out)
{
	static const struct {
		enum verdict_kind kind;
		const char *title;
	} kinds[] = {{VERDICT_RELOAD, "last reload"},
		     {VERDICT_UPGRADE, "last upgrade"},
		     {VERDICT_STOP, "the stop"}};

	generation_rows(snapshot, out);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const struct ledger_view *l = &snapshot->ledgers.replaced[kinds[i].kind];

		if (l->number)
			ledger_row(snapshot, kinds[i].title, l, out);
	}
}
