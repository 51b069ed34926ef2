/* SPDX-License-Identifier: ISC */
/* The table of top: which columns there is room for, and its rows. */
#include <config.h>

#include <stdio.h>

#include "ctl/top_columns.h"
#include "ctl/top_screen.h"

/* Widths of a view's columns; 0: there is no room for it. */
struct widths {
	const struct top_column *columns;
	int of[TOP_COLUMNS_MAX];
	int sum; /* with the blanks in between */
};

static void set_width(struct widths *widths, int column, int width)
{
	int gap = !widths->columns[column].tight;

	if (widths->of[column])
		widths->sum -= widths->of[column] + gap;
	widths->of[column] = width;
	if (width)
		widths->sum += width + gap;
}

/* The column that is given up first, or -1. */
static int expendable(const struct widths *widths)
{
	const struct top_column *columns = widths->columns;
	int found = -1;

	for (int i = 0; columns[i].title; i++)
		if (widths->of[i] && columns[i].drop &&
		    (found < 0 || columns[i].drop > columns[found].drop))
			found = i;
	return found;
}

/* The widest text of a column. */
static int need_of(const struct top_model *model, const struct top_column *column)
{
	char text[TOP_CELL_MAX];
	int need = top_width(column->title);

	if (need < column->width)
		need = column->width;

	for (size_t i = 0; i < model->row_count && need < column->width_most; i++) {
		int width = top_width(column->text(model, model->rows[i], text));

		if (width > need)
			need = width;
	}
	return need < column->width_most ? need : column->width_most;
}

/* What is left goes to texts, as far as they need it; of workers to the last one, whose texts come
 * and go with the clients. */
static void widen_texts(const struct top_model *model, struct widths *widths, int width)
{
	const struct top_column *columns = widths->columns;

	for (int i = 0; columns[i].title && widths->sum < width; i++) {
		int most = widths->of[i] + width - widths->sum, need = columns[i].width_most;

		if (!widths->of[i] || !columns[i].text ||
		    (model->view == TOP_WORKERS && columns[i + 1].title))
			continue;
		if (model->view == TOP_POOLS)
			need = need_of(model, &columns[i]);
		set_width(widths, i, need < most ? need : most);
	}
}

/* And then to curves, in equal parts. */
static void widen_curves(struct widths *widths, int width)
{
	const struct top_column *columns = widths->columns;
	int count = 0;

	for (int i = 0; columns[i].title; i++)
		count += columns[i].ring && widths->of[i];
	for (int i = 0; columns[i].title && widths->sum < width; i++) {
		if (!columns[i].ring || !widths->of[i])
			continue;
		int wide = widths->of[i] + (width - widths->sum) / count--;
		set_width(widths, i, wide < columns[i].width_most ? wide : columns[i].width_most);
	}
}

static void lay_out(const struct top_model *model, struct widths *widths, int width)
{
	const struct top_column *columns = top_columns(model->view);
	int dropped;

	*widths = (struct widths){.columns = columns, .sum = -1};
	for (int i = 0; columns[i].title; i++)
		set_width(widths, i, columns[i].width);
	while (widths->sum > width && (dropped = expendable(widths)) >= 0)
		set_width(widths, dropped, 0);
	widen_texts(model, widths, width);
	widen_curves(widths, width);
}

/* Behind the title of the column that it is sorted by: to where values grow. */
static const char *arrow(const struct top_model *model)
{
	const struct top_order *order = &model->orders[model->view];
	const struct top_column *column = &top_columns(model->view)[order->column];
	bool rises = (!column->value || column->rises) != order->reverse;

	if (top_locale_is_utf8())
		return rises ? "▴" : "▾";
	return rises ? "^" : "v";
}

static void add_title(const struct top_model *model, const struct top_canvas *canvas,
		      struct top_line *line, int index, int width)
{
	const struct top_column *column = &top_columns(model->view)[index];
	bool sorted = index == model->orders[model->view].column;
	bool narrow = column->narrow && top_width(column->title) > width;
	const char *title = narrow ? column->narrow : column->title;
	const char *sign = sorted ? arrow(model) : "";
	/* Else in the blank behind it. */
	bool inside = column->align == TOP_LEFT && top_width(title) < width;
	unsigned style = sorted ? TOP_SORTED : TOP_HEADER;
	char text[64];

	snprintf(text, sizeof(text), "%s%s", title, inside ? sign : "");
	top_add_cell(canvas, line, style, width, column->align, TOP_ELIDE_END, text);
	if (!column->tight)
		top_add_cell(canvas, line, style, 1, TOP_LEFT, TOP_ELIDE_END, inside ? "" : sign);
}

static void add_head(const struct top_model *model, struct top_canvas *canvas,
		     const struct widths *widths)
{
	struct top_line *line = top_canvas_line(canvas);

	for (int i = 0; widths->columns[i].title; i++)
		if (widths->of[i])
			add_title(model, canvas, line, i, widths->of[i]);
	top_add_cell(canvas, line, TOP_HEADER, canvas->width, TOP_LEFT, TOP_ELIDE_END, "");
}

void top_add_curve(const struct top_model *model, const struct top_canvas *canvas,
		   struct top_line *line, const float *ring, int columns, double most)
{
	float values[TOP_HISTORY];
	char text[TOP_FIT_MAX(TOP_HISTORY)];

	if (columns > TOP_HISTORY)
		columns = TOP_HISTORY;
	if (columns <= 0)
		return;
	top_history_last(model, ring, values, columns);
	top_curve(text, values, columns, most, top_locale_is_utf8());
	top_add_cell(canvas, line, TOP_CURVE, columns, TOP_LEFT, TOP_ELIDE_END, text);
}

static unsigned style_of(const struct top_model *model, uint32_t index)
{
	uint32_t pool = index;

	if (model->view == TOP_WORKERS) {
		const struct worker_view *worker = &model->now.workers[index];

		return worker->state == SLOT_IDLE && !worker->leaving ? TOP_DIM : TOP_PLAIN;
	}
	if (model->pools[pool].degraded)
		return TOP_DEGRADED;
	return model->pools[pool].saturated ? TOP_FULL : TOP_PLAIN;
}

static void add_curve_cell(const struct top_model *model, const struct top_canvas *canvas,
			   struct top_line *line, uint32_t index, const struct top_column *column,
			   int width)
{
	const struct top_numbers *numbers = &model->pools[index];

	if (numbers->history)
		top_add_curve(model, canvas, line, column->ring(numbers), width, column->most);
}

static void add_row(const struct top_model *model, struct top_canvas *canvas,
		    const struct widths *widths, uint32_t index, unsigned selected)
{
	const struct top_column *columns = top_columns(model->view);
	struct top_line *line = top_canvas_line(canvas);
	unsigned style = style_of(model, index) | selected;
	char text[TOP_CELL_MAX];

	for (int i = 0; columns[i].title; i++) {
		int begin = line ? line->columns : 0, width = widths->of[i];

		if (!width)
			continue;
		if (columns[i].ring)
			add_curve_cell(model, canvas, line, index, &columns[i], width);
		else
			top_add_cell(canvas, line, style, width, columns[i].align,
				     columns[i].align == TOP_LEFT ? TOP_ELIDE_MIDDLE
								  : TOP_ELIDE_END,
				     columns[i].text(model, index, text));
		/* To the next column, also where a curve has less than its width. */
		width += !columns[i].tight;
		top_add_cell(canvas, line, style, width - (line ? line->columns - begin : 0),
			     TOP_LEFT, TOP_ELIDE_END, "");
	}
	if (selected)
		top_add_cell(canvas, line, style, canvas->width, TOP_LEFT, TOP_ELIDE_END, "");
}

static void add_nothing(const struct top_model *model, struct top_canvas *canvas)
{
	struct top_line *line = top_canvas_line(canvas);
	const char *what = model->view == TOP_POOLS ? "pool" : "worker";

	/* That was said already. */
	if (!model->running)
		return;
	if (model->filters[model->view][0])
		top_add(canvas, line, TOP_DIM, "  no %s matches \"%s\"", what,
			model->filters[model->view]);
	else
		top_add(canvas, line, TOP_DIM, "  no %s", what);
}

void top_table(struct top_model *model, struct top_canvas *canvas, int height)
{
	size_t page = height > 1 ? (size_t)height - 1 : 0;
	const struct top_place *place = &model->places[model->view];
	struct widths widths;

	if (height < 1)
		return;
	top_rows_fit(model, page);
	lay_out(model, &widths, canvas->width);
	top_canvas_begin(canvas, height, 0);
	add_head(model, canvas, &widths);
	if (model->row_count == 0 && page > 0)
		add_nothing(model, canvas);
	for (size_t i = place->first; i < model->row_count && i < place->first + page; i++)
		add_row(model, canvas, &widths, model->rows[i],
			i == place->cursor ? TOP_SELECTED : 0);
	top_canvas_end(canvas);
}
