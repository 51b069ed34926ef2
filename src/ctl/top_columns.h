/* SPDX-License-Identifier: ISC */
/* The columns of top's tables: what is in them, how wide they are, how they sort. */
#ifndef CTL_TOP_COLUMNS_H
#define CTL_TOP_COLUMNS_H

#include "ctl/top_canvas.h"
#include "ctl/top_model.h"

/* A text of the board and room for its escapes. */
#define TOP_CELL_MAX (4 * ADDRESS_TEXT_MAX)

struct top_column {
	const char *title;
	const char *narrow; /* the title where that has no room; NULL: cut */
	char key;           /* sorts by it; 0: nothing does */
	const char *help;   /* what is in it */
	/* `index` is that of a pool or worker of model->now. Returns text. */
	const char *(*text)(const struct top_model *model, uint32_t index, char text[TOP_CELL_MAX]);
	/* What numbers are sorted by; NULL: by the text. */
	double (*value)(const struct top_model *model, uint32_t index);
	bool rises; /* numbers begin with the least, as texts do */
	/* Of a curve: its values. */
	const float *(*ring)(const struct top_numbers *numbers);
	double most; /* the top of a curve's scale; 0: what is the most of it */
	enum top_align align;
	int width;      /* at least */
	int width_most; /* where there is room and use for it */
	int drop;       /* where there is no room the highest goes first; 0: stays */
	bool tight;     /* without a blank behind it */
};

#define TOP_COLUMNS_MAX 16
/* What the tables are sorted by at first. */
#define TOP_COLUMN_SERVICE 1
#define TOP_COLUMN_PID     0

/* Those of a view; the list ends with a column without a title. */
const struct top_column *top_columns(enum top_view view);
/* The column that a key sorts by, or -1. */
int top_column_of_key(enum top_view view, int key);
/* The next column that can be sorted by, in the direction of `step`. */
int top_column_next(enum top_view view, int column, int step);

/* What is out of the ordinary about a pool: `degraded`, `full`, `full in 12s`, or "". */
#define TOP_NOTE_MAX 64
const char *top_note(const struct top_model *model, uint32_t pool, char text[TOP_NOTE_MAX]);

#endif
