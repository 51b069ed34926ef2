/* SPDX-License-Identifier: ISC */
/* A screen in memory: lines of text with the styles of their parts. No line is wider than it. */
#ifndef CTL_TOP_CANVAS_H
#define CTL_TOP_CANVAS_H

#include <stddef.h>

#include "ctl/top_text.h"

/* What a part of a line means; what it looks like is the terminal's business. */
enum top_style {
	TOP_PLAIN,
	TOP_DIM,
	TOP_TITLE,
	TOP_GOOD,     /* healthy */
	TOP_FULL,     /* saturated: no worker is left */
	TOP_DEGRADED, /* fewer workers than there should be */
	TOP_CURVE,
	TOP_HEADER, /* of the table, and */
	TOP_SORTED, /* the column that it is sorted by */
	TOP_KEY,    /* a key that can be pressed */
	TOP_STYLES,
	TOP_SELECTED = 1 << 8 /* besides: of the line that keys act on */
};

struct top_span {
	unsigned style;    /* enum top_style, perhaps with TOP_SELECTED */
	size_t begin, end; /* bytes of the line's text */
	int column;
};

#define TOP_SPANS 48

struct top_line {
	char *text;
	size_t length;
	int columns; /* used of the canvas's width */
	struct top_span spans[TOP_SPANS];
	int span_count;
};

struct top_canvas {
	struct top_line *lines;
	char *text; /* of all lines */
	int height, width;
	int used;  /* lines that have been begun */
	int limit; /* the first that may not be, for now */
	int skip;  /* lines that will be left out, for now */
};

/* Empties it. Returns 0, or -1 with errno. */
int top_canvas_reset(struct top_canvas *canvas, int height, int width);
void top_canvas_free(struct top_canvas *canvas);

/* The next line; NULL, to which nothing is added, when it is left out or all are used. */
struct top_line *top_canvas_line(struct top_canvas *canvas);
/* What follows is put into the next `height` lines, without the first `skip` of its own. */
void top_canvas_begin(struct top_canvas *canvas, int height, int skip);
/* The end of that: goes on after those lines, even if they are not all used. */
void top_canvas_end(struct top_canvas *canvas);

enum top_align { TOP_LEFT, TOP_RIGHT };

/* Adds a text that takes exactly so many columns, or what is left of the line. */
void top_add_cell(const struct top_canvas *canvas, struct top_line *line, unsigned style,
		  int columns, enum top_align align, enum top_elide elide, const char *text);
/* Adds a text that takes the columns it needs. */
void top_add(const struct top_canvas *canvas, struct top_line *line, unsigned style,
	     const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Columns that are left of a line. */
int top_left(const struct top_canvas *canvas, const struct top_line *line);

#endif
