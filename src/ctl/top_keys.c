/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <curses.h>
#include <limits.h>
#include <string.h>
#include <wchar.h>

#include "ctl/top_columns.h"
#include "ctl/top_keys.h"

#define ESCAPE 27
#define RUBOUT 127

/* ---- what keys do ---- */

static void scroll_help(struct top_model *model, long by)
{
	long to = (long)model->help_first + by;

	model->help_first = to < 0 ? 0 : (size_t)to;
}

static void choose_column(struct top_model *model, int step)
{
	model->sort_cursor = top_column_next(model->view, model->sort_cursor, step);
}

static void move_by(struct top_model *model, long by)
{
	if (model->mode == TOP_HELP)
		scroll_help(model, by);
	else if (model->mode == TOP_SORT)
		choose_column(model, by < 0 ? -1 : 1);
	else
		top_rows_move(model, by);
}

static void press_up(struct top_model *model)
{
	move_by(model, -1);
}

static void press_down(struct top_model *model)
{
	move_by(model, 1);
}

static long page_of(const struct top_model *model)
{
	return model->page > 1 ? (long)model->page - 1 : 1;
}

static void press_page_up(struct top_model *model)
{
	move_by(model, -page_of(model));
}

static void press_page_down(struct top_model *model)
{
	move_by(model, page_of(model));
}

static void press_home(struct top_model *model)
{
	move_by(model, -BOARD_SLOTS);
}

static void press_end(struct top_model *model)
{
	move_by(model, BOARD_SLOTS);
}

static void sort_by(struct top_model *model, int column)
{
	model->orders[model->view].column = column;
	top_rows_make(model);
}

static void press_enter(struct top_model *model)
{
	if (model->mode == TOP_SORT)
		sort_by(model, model->sort_cursor);
	else if (model->mode == TOP_TABLE && model->view == TOP_POOLS)
		top_view_set(model, TOP_WORKERS);
	model->mode = TOP_TABLE;
}

static void press_escape(struct top_model *model)
{
	if (model->mode != TOP_TABLE)
		model->mode = TOP_TABLE;
	else if (model->filters[model->view][0])
		model->filters[model->view][0] = '\0';
	else
		top_view_set(model, TOP_POOLS);
	top_rows_make(model);
}

static void press_workers(struct top_model *model)
{
	top_view_set(model, model->view == TOP_POOLS ? TOP_WORKERS : TOP_POOLS);
}

static void press_left(struct top_model *model)
{
	sort_by(model, top_column_next(model->view, model->orders[model->view].column, -1));
}

static void press_right(struct top_model *model)
{
	sort_by(model, top_column_next(model->view, model->orders[model->view].column, 1));
}

static void press_reverse(struct top_model *model)
{
	model->orders[model->view].reverse ^= true;
	top_rows_make(model);
}

static void press_sort(struct top_model *model)
{
	model->sort_cursor = model->orders[model->view].column;
	model->mode = TOP_SORT;
}

static void press_filter(struct top_model *model)
{
	model->mode = TOP_FILTER;
}

static void press_pause(struct top_model *model)
{
	model->paused ^= true;
}

/* The next interval of a list; one from the command line may be none of them. */
static void change_interval(struct top_model *model, int step)
{
	static const unsigned tenths[] = {1, 2, 5, 10, 20, 50, 100, 300, 600};
	const int count = sizeof(tenths) / sizeof(tenths[0]);
	int i = step > 0 ? 0 : count - 1;

	for (; i >= 0 && i < count; i += step) {
		uint64_t usec = tenths[i] * USEC_PER_SEC / 10;

		if (step > 0 ? usec > model->interval_usec : usec < model->interval_usec) {
			model->interval_usec = usec;
			return;
		}
	}
}

static void press_slower(struct top_model *model)
{
	change_interval(model, 1);
}

static void press_faster(struct top_model *model)
{
	change_interval(model, -1);
}

static void press_help(struct top_model *model)
{
	model->mode = TOP_HELP;
	model->help_first = 0;
}

static void press_quit(struct top_model *model)
{
	if (model->mode == TOP_TABLE)
		model->quit = true;
	model->mode = TOP_TABLE;
}

/* ---- the table ---- */

/* Keys of the lists, in every mode but the typing of a filter. */
static const struct top_key keys[] = {
	{{'h', '?', TOP_SPECIAL(KEY_F(1))}, "h ?", "this help", "help", press_help},
	{{TOP_SPECIAL(KEY_UP), 'k'}, "Up k", "select the line above", NULL, press_up},
	{{TOP_SPECIAL(KEY_DOWN), 'j'}, "Down j", "select the line below", NULL, press_down},
	{{TOP_SPECIAL(KEY_PPAGE)}, "PgUp", "a page up", NULL, press_page_up},
	{{TOP_SPECIAL(KEY_NPAGE)}, "PgDn", "a page down", NULL, press_page_down},
	{{TOP_SPECIAL(KEY_HOME), 'g'}, "Home g", "to the first line", NULL, press_home},
	{{TOP_SPECIAL(KEY_END)}, "End", "to the last line", NULL, press_end},
	{{'w'},
	 "w",
	 "workers of the selected pool, and back to the pools",
	 "workers",
	 press_workers},
	{{'\r', '\n', TOP_SPECIAL(KEY_ENTER)},
	 "Enter",
	 "workers of the selected pool",
	 NULL,
	 press_enter},
	{{ESCAPE}, "Esc", "back: from a menu, a filter, the workers", NULL, press_escape},
	{{'/'},
	 "/",
	 "filter: service, address or client; of workers: client or state",
	 "filter",
	 press_filter},
	{{TOP_SPECIAL(KEY_F(6)), 's'}, "F6 s", "choose the column to sort by", "sort", press_sort},
	{{'<', TOP_SPECIAL(KEY_LEFT)},
	 "< Left",
	 "sort by the column to the left",
	 NULL,
	 press_left},
	{{'>', TOP_SPECIAL(KEY_RIGHT)},
	 "> Right",
	 "sort by the column to the right",
	 NULL,
	 press_right},
	{{'r'}, "r", "reverse the order", "reverse", press_reverse},
	{{'p', ' '}, "p Space", "pause, and go on", "pause", press_pause},
	{{'+'}, "+", "look less often", NULL, press_slower},
	{{'-'}, "-", "look more often", NULL, press_faster},
	{{'q'}, "q", "quit; from a menu: back", "quit", press_quit},
	{.shown = NULL},
};

const struct top_key *top_keys(void)
{
	return keys;
}

static const struct top_key *find_key(int key)
{
	for (const struct top_key *row = keys; row->shown; row++)
		for (int i = 0; i < TOP_KEY_CODES; i++)
			if (row->codes[i] == key)
				return row;
	return NULL;
}

/* ---- typing a filter ---- */

static void append(char *filter, int character)
{
	size_t length = strlen(filter);
	char bytes[MB_LEN_MAX];
	mbstate_t state = {0};
	size_t size = wcrtomb(bytes, (wchar_t)character, &state);

	if (size == (size_t)-1 || length + size >= TOP_FILTER_MAX)
		return;
	memcpy(filter + length, bytes, size);
	filter[length + size] = '\0';
}

/* With all bytes of the last character. */
static void rub_out(char *filter)
{
	size_t length = strlen(filter);

	while (length > 0 && ((unsigned char)filter[--length] & 0xc0) == 0x80)
		;
	filter[length] = '\0';
}

static void type_filter(struct top_model *model, int key)
{
	char *filter = model->filters[model->view];

	if (key == ESCAPE)
		filter[0] = '\0';
	if (key == ESCAPE || key == '\r' || key == '\n' || key == TOP_SPECIAL(KEY_ENTER))
		model->mode = TOP_TABLE;
	else if (key == RUBOUT || key == '\b' || key == TOP_SPECIAL(KEY_BACKSPACE))
		rub_out(filter);
	else if (key == ('U' & 0x1f))
		filter[0] = '\0';
	else if (key == TOP_SPECIAL(KEY_UP) || key == TOP_SPECIAL(KEY_DOWN))
		top_rows_move(model, key == TOP_SPECIAL(KEY_UP) ? -1 : 1);
	else if (key >= ' ')
		append(filter, key);
	top_rows_make(model);
}

void top_press(struct top_model *model, int key)
{
	const struct top_key *row = find_key(key);
	int column = key > 0 ? top_column_of_key(model->view, key) : -1;

	if (model->mode == TOP_FILTER) {
		type_filter(model, key);
	} else if (column >= 0 && model->mode != TOP_HELP) {
		sort_by(model, column);
		model->mode = TOP_TABLE;
	} else if (row && (model->mode != TOP_HELP || row->press != press_help)) {
		row->press(model);
	} else if (row) {
		model->mode = TOP_TABLE;
	}
}
