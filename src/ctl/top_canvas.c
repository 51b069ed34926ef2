/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/top_canvas.h"

void top_canvas_free(struct top_canvas *canvas)
{
	free(canvas->lines);
	free(canvas->text);
	*canvas = (struct top_canvas){0};
}

static int resize(struct top_canvas *canvas, int height, int width)
{
	top_canvas_free(canvas);
	canvas->lines = calloc((size_t)height, sizeof(*canvas->lines));
	canvas->text = calloc((size_t)height, TOP_FIT_MAX(width));
	if (!canvas->lines || !canvas->text) {
		top_canvas_free(canvas);
		return -1;
	}
	canvas->height = height;
	canvas->width = width;
	return 0;
}

int top_canvas_reset(struct top_canvas *canvas, int height, int width)
{
	if ((height != canvas->height || width != canvas->width) &&
	    resize(canvas, height, width) < 0)
		return -1;
	for (int i = 0; i < height; i++) {
		char *text = canvas->text + (size_t)i * TOP_FIT_MAX(width);

		canvas->lines[i] = (struct top_line){.text = text};
		*text = '\0';
	}
	canvas->used = canvas->skip = 0;
	canvas->limit = height;
	return 0;
}

struct top_line *top_canvas_line(struct top_canvas *canvas)
{
	if (canvas->skip > 0) {
		canvas->skip--;
		return NULL;
	}
	return canvas->used < canvas->limit ? &canvas->lines[canvas->used++] : NULL;
}

void top_canvas_begin(struct top_canvas *canvas, int height, int skip)
{
	int limit = canvas->used + (height > 0 ? height : 0);

	canvas->limit = limit < canvas->height ? limit : canvas->height;
	canvas->skip = skip;
}

void top_canvas_end(struct top_canvas *canvas)
{
	canvas->used = canvas->limit;
	canvas->limit = canvas->height;
	canvas->skip = 0;
}

int top_left(const struct top_canvas *canvas, const struct top_line *line)
{
	return line ? canvas->width - line->columns : 0;
}

static void begin_span(struct top_line *line, unsigned style)
{
	if (line->span_count > 0 && line->spans[line->span_count - 1].style == style)
		return;
	if (line->span_count == TOP_SPANS)
		return;
	line->spans[line->span_count++] =
		(struct top_span){style, line->length, line->length, line->columns};
}

static void add_blanks(struct top_line *line, int count)
{
	memset(line->text + line->length, ' ', (size_t)count);
	line->length += (size_t)count;
	line->columns += count;
	line->text[line->length] = '\0';
}

static void add_text(struct top_line *line, const char *text, int columns)
{
	line->length += strlen(strcpy(line->text + line->length, text));
	line->columns += columns;
}

void top_add_cell(const struct top_canvas *canvas, struct top_line *line, unsigned style,
		  int columns, enum top_align align, enum top_elide elide, const char *text)
{
	int left = top_left(canvas, line);

	if (columns > left)
		columns = left;
	if (columns <= 0)
		return;
	char *shown = malloc(TOP_FIT_MAX(columns));
	if (!shown)
		return;
	int used = top_fit(shown, columns, text, elide);

	begin_span(line, style);
	if (align == TOP_RIGHT)
		add_blanks(line, columns - used);
	add_text(line, shown, used);
	if (align == TOP_LEFT)
		add_blanks(line, columns - used);
	line->spans[line->span_count - 1].end = line->length;
	free(shown);
}

void top_add(const struct top_canvas *canvas, struct top_line *line, unsigned style,
	     const char *format, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, format);
	int length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0)
		return;
	top_add_cell(canvas, line, style, top_width(text), TOP_LEFT, TOP_ELIDE_END, text);
	free(text);
}
