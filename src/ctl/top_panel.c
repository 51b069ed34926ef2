/* SPDX-License-Identifier: ISC */
/* What top says of the selected pool, below the table. */
#include <config.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ctl/top_columns.h"
#include "ctl/top_screen.h"

#define LABEL_COLUMNS 8
/* Right of a curve. */
#define VALUE_COLUMNS 16

/* So much of a line across the screen. */
static void add_dashes(struct top_canvas *canvas, struct top_line *line, int columns)
{
	const char *dash = top_locale_is_utf8() ? "─" : "-";

	while (columns-- > 0)
		top_add(canvas, line, TOP_DIM, "%s", dash);
}

static void add_rule(const struct top_model *model, struct top_canvas *canvas, uint32_t index)
{
	const struct pool_view *pool = &model->now.pools[index];
	const struct top_place *place = &model->places[model->view];
	struct top_line *line = top_canvas_line(canvas);
	char note[TOP_NOTE_MAX], row[48] = "";

	if (model->row_count)
		snprintf(row, sizeof(row), " %zu of %zu ", place->cursor + 1, model->row_count);
	add_dashes(canvas, line, 1);
	top_add(canvas, line, TOP_TITLE, " %s %s ", pool->service, pool->address);
	top_add(canvas, line, TOP_DIM, " %s ", pool->handler);
	if (*top_note(model, index, note))
		top_add(canvas, line, TOP_FULL, " %s ", note);
	add_dashes(canvas, line, top_left(canvas, line) - (int)strlen(row) - 1);
	top_add(canvas, line, TOP_DIM, "%s", row);
	add_dashes(canvas, line, 1);
}

static void add_curve_line(const struct top_model *model, struct top_canvas *canvas,
			   const char *label, const float *ring, double most, const char *value)
{
	struct top_line *line = top_canvas_line(canvas);
	int columns = canvas->width - LABEL_COLUMNS - VALUE_COLUMNS;

	top_add_cell(canvas, line, TOP_DIM, LABEL_COLUMNS, TOP_LEFT, TOP_ELIDE_END, label);
	if (ring)
		top_add_curve(model, canvas, line, ring, columns, most);
	top_add(canvas, line, TOP_PLAIN, " %s", value);
}

static const char *percent(char text[TOP_NUMBER_MAX], double part)
{
	if (isnan(part))
		return strcpy(text, "-");
	snprintf(text, TOP_NUMBER_MAX, part > 0 && part < 0.0995 ? "%.1f %%" : "%.0f %%",
		 100 * part);
	return text;
}

static void add_value(struct top_canvas *canvas, struct top_line *line, const char *label,
		      const char *value)
{
	/* Half of it would be misread. */
	if (top_left(canvas, line) < (int)(strlen(label) + strlen(value)) + 2)
		return;
	top_add(canvas, line, TOP_DIM, " %s ", label);
	top_add(canvas, line, TOP_PLAIN, "%s", value);
}

/* How many wait, of how many that may, and how long they did. */
static void add_queue(struct top_canvas *canvas, struct top_line *line,
		      const struct top_numbers *numbers)
{
	char queued[TOP_NUMBER_MAX], limit[TOP_NUMBER_MAX], text[2 * TOP_NUMBER_MAX];

	snprintf(text, sizeof(text), "%s/%s", top_number(queued, numbers->queued),
		 top_number(limit, numbers->queue_limit));
	add_value(canvas, line, " queue", text);
	add_value(canvas, line, "p99", top_time(queued, numbers->wait_p99));
}

/* Times, and what became of all connections. */
static void add_times(struct top_canvas *canvas, const struct top_numbers *numbers,
		      const struct pool_view *pool)
{
	struct top_line *line = top_canvas_line(canvas);
	char text[TOP_NUMBER_MAX];
	const uint64_t *c = pool->connections;

	top_add_cell(canvas, line, TOP_DIM, LABEL_COLUMNS - 1, TOP_LEFT, TOP_ELIDE_END, " time");
	add_value(canvas, line, "p50", top_time(text, numbers->p50));
	add_value(canvas, line, "p90", top_time(text, numbers->p90));
	add_value(canvas, line, "p99", top_time(text, numbers->p99));
	add_value(canvas, line, "most", top_time(text, numbers->most));
	add_queue(canvas, line, numbers);
	if (!pool_counts_connections(pool))
		return;
	add_value(canvas, line, " accepted", top_number(text, (double)c[CONN_accepted]));
	add_value(canvas, line, "refused", top_number(text, (double)view_sum(c, "refused_")));
	add_value(canvas, line, "aborted", top_number(text, (double)view_sum(c, "aborted_")));
	add_value(canvas, line, "timed out", top_number(text, (double)c[CONN_timed_out]));
}

void top_panel(const struct top_model *model, struct top_canvas *canvas)
{
	int index = top_pool_selected(model);
	char value[2 * TOP_NUMBER_MAX], number[TOP_NUMBER_MAX];

	top_canvas_begin(canvas, TOP_PANEL_HEIGHT, 0);
	if (index >= 0) {
		const struct top_numbers *numbers = &model->pools[index];
		const struct top_history *history = numbers->history;

		add_rule(model, canvas, (uint32_t)index);
		snprintf(value, sizeof(value), "%s/s", top_number(number, numbers->rate));
		add_curve_line(model, canvas, " rate", history ? history->rate : NULL, 0, value);
		snprintf(value, sizeof(value), "%s busy", percent(number, numbers->busy_part));
		add_curve_line(model, canvas, " busy", history ? history->busy : NULL, 1, value);
		add_times(canvas, numbers, &model->now.pools[index]);
	}
	top_canvas_end(canvas);
}
