/* SPDX-License-Identifier: ISC */
/* What top says of its keys and columns: the help, the menu of columns, the last line. */
#include <config.h>

#include <string.h>

#include "ctl/top_columns.h"
#include "ctl/top_keys.h"
#include "ctl/top_screen.h"

#define KEY_COLUMNS   10
#define TITLE_COLUMNS 16

static void add_entry(struct top_canvas *canvas, const char *key, const char *help)
{
	struct top_line *line = top_canvas_line(canvas);

	top_add(canvas, line, TOP_PLAIN, " ");
	top_add_cell(canvas, line, TOP_KEY, KEY_COLUMNS, TOP_LEFT, TOP_ELIDE_END, key);
	top_add(canvas, line, TOP_PLAIN, "%s", help);
}

static void add_column(struct top_canvas *canvas, const struct top_column *column,
		       unsigned selected)
{
	struct top_line *line = top_canvas_line(canvas);
	const char key[] = {column->key, '\0'};

	top_add(canvas, line, selected, " ");
	top_add_cell(canvas, line, TOP_KEY | selected, KEY_COLUMNS, TOP_LEFT, TOP_ELIDE_END, key);
	top_add_cell(canvas, line, TOP_TITLE | selected, TITLE_COLUMNS, TOP_LEFT, TOP_ELIDE_END,
		     column->title);
	top_add(canvas, line, selected, "%s", column->help);
	if (selected)
		top_add_cell(canvas, line, selected, canvas->width, TOP_LEFT, TOP_ELIDE_END, "");
}

static void add_head(struct top_canvas *canvas, const char *text)
{
	top_add(canvas, top_canvas_line(canvas), TOP_TITLE, " %s", text);
}

static void add_columns(struct top_canvas *canvas, enum top_view view)
{
	for (const struct top_column *c = top_columns(view); c->title; c++)
		if (c->title[0])
			add_column(canvas, c, 0);
}

static void add_marks(struct top_canvas *canvas)
{
	add_entry(canvas, "!", "a degraded pool: fewer workers than wanted, or backing off");
	add_entry(canvas, "*", "a full pool: every worker that it may have serves a client");
	add_entry(canvas, "-", "not known");
}

static void add_all(struct top_canvas *canvas)
{
	add_head(canvas, "Keys");
	for (const struct top_key *key = top_keys(); key->shown; key++)
		add_entry(canvas, key->shown, key->help);
	top_canvas_line(canvas);
	add_head(canvas, "Columns of pools, with the keys that sort by them");
	add_columns(canvas, TOP_POOLS);
	top_canvas_line(canvas);
	add_head(canvas, "Columns of workers");
	add_columns(canvas, TOP_WORKERS);
	top_canvas_line(canvas);
	add_head(canvas, "Marks");
	add_marks(canvas);
}

/* The lines of all of it. */
static size_t count_all(void)
{
	struct top_canvas counter = {.skip = 1 << 16};

	add_all(&counter);
	return (size_t)((1 << 16) - counter.skip);
}

void top_help(struct top_model *model, struct top_canvas *canvas, int height)
{
	size_t count = count_all(), room = height > 0 ? (size_t)height : 0;
	size_t last = count > room ? count - room : 0;

	model->page = room;
	if (model->help_first > last)
		model->help_first = last;
	top_canvas_begin(canvas, height, (int)model->help_first);
	add_all(canvas);
	top_canvas_end(canvas);
}

void top_sort_menu(const struct top_model *model, struct top_canvas *canvas, int height)
{
	const struct top_column *columns = top_columns(model->view);

	/* Where there is little room, from the chosen one on. */
	top_canvas_begin(canvas, height, 0);
	add_head(canvas, "Sort by");
	for (int i = 0; columns[i].title; i++)
		if (columns[i].key && (i >= model->sort_cursor || height > TOP_COLUMNS_MAX))
			add_column(canvas, &columns[i], i == model->sort_cursor ? TOP_SELECTED : 0);
	top_canvas_end(canvas);
}

static void add_brief(const struct top_canvas *canvas, struct top_line *line, const char *key,
		      const char *text)
{
	int first_word = (int)strcspn(key, " ");

	top_add(canvas, line, TOP_KEY, " %.*s", first_word, key);
	top_add(canvas, line, TOP_PLAIN, " %s ", text);
}

static void add_keys(const struct top_model *model, const struct top_canvas *canvas,
		     struct top_line *line)
{
	if (model->view == TOP_WORKERS)
		add_brief(canvas, line, "Esc", "pools");
	for (const struct top_key *key = top_keys(); key->shown; key++)
		if (key->brief && (model->view == TOP_POOLS || key->codes[0] != 'w'))
			add_brief(canvas, line, key->shown, key->brief);
}

void top_foot(const struct top_model *model, struct top_canvas *canvas)
{
	struct top_line *line = top_canvas_line(canvas);

	switch (model->mode) {
	case TOP_TABLE:
		add_keys(model, canvas, line);
		break;
	case TOP_FILTER:
		add_brief(canvas, line, "Enter", "keep");
		add_brief(canvas, line, "Esc", "clear");
		top_add(canvas, line, TOP_TITLE, " filter: %s", model->filters[model->view]);
		top_add(canvas, line, TOP_SELECTED, " ");
		break;
	case TOP_SORT:
		add_brief(canvas, line, "Enter", "sort");
		add_brief(canvas, line, "Down", "choose");
		add_brief(canvas, line, "Esc", "back");
		break;
	case TOP_HELP:
		add_brief(canvas, line, "Down", "scroll");
		add_brief(canvas, line, "Esc", "back");
		break;
	}
}
