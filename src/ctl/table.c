/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/error.h"
#include "ctl/table.h"

/* ---- the terminal ---- */

static bool is_set(const char *name)
{
	const char *value = getenv(name);

	return value && *value;
}

static bool takes_color(void)
{
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !is_set("NO_COLOR") && term && *term &&
	       strcmp(term, "dumb") != 0;
}

int table_look_of(struct table_look *look, const char *color, struct error *err)
{
	struct winsize size;

	*look = (struct table_look){.width = 0};
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
		look->width = size.ws_col;
	if (!color || strcmp(color, "auto") == 0)
		look->color = takes_color();
	else if (strcmp(color, "always") == 0)
		look->color = true;
	else if (strcmp(color, "never") != 0)
		return error_set(err, EX_USAGE, "--color: \"%s\"; write auto, always or never",
				 color);
	return 0;
}

const char *table_paint(const struct table_look *look, enum table_mark mark)
{
	static const char *const colors[] = {
		[TABLE_GOOD] = "\33[32m", [TABLE_WARNING] = "\33[33m", [TABLE_BAD] = "\33[1;31m"};

	return look->color && mark != TABLE_PLAIN ? colors[mark] : "";
}

const char *table_unpaint(const struct table_look *look, enum table_mark mark)
{
	return look->color && mark != TABLE_PLAIN ? "\33[0m" : "";
}

/* ---- the cells ---- */

static int make_room(struct table *table)
{
	if (table->count < table->room)
		return 0;
	size_t room = table->room ? 2 * table->room : 64;
	struct table_cell *cells = reallocarray(table->cells, room, sizeof(*cells));
	if (!cells)
		return -1;
	table->cells = cells;
	table->room = room;
	return 0;
}

void table_add(struct table *table, const char *format, ...)
{
	va_list args;
	char *text = NULL;

	va_start(args, format);
	int length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0 || make_room(table) < 0) {
		table->failed = 1;
		if (length >= 0)
			free(text);
		return;
	}
	table->cells[table->count++] = (struct table_cell){.text = text};
}

void table_mark(struct table *table, enum table_mark mark)
{
	if (table->count > 0)
		table->cells[table->count - 1].mark = mark;
}

/* ---- printing ---- */

/* On the screen: the bytes that begin a character of UTF-8. */
static size_t shown(const char *text)
{
	size_t count = 0;

	for (; *text; text++)
		if (((unsigned char)*text & 0xc0) != 0x80)
			count++;
	return count;
}

static size_t widest(const struct table *table, size_t column)
{
	size_t width = shown(table->columns[column].title);

	for (size_t i = column; i < table->count; i += table->width)
		if (shown(table->cells[i].text) > width)
			width = shown(table->cells[i].text);
	return width;
}

/* What a line takes; a column of no width is left out, a last one without a title is a remark and
 * may go over the edge. */
static size_t line_width(const struct table *table, const size_t *widths)
{
	size_t width = 0;

	for (size_t i = 0; i < table->width; i++)
		if (widths[i] > 0 && *table->columns[i].title)
			width += widths[i] + (width > 0 ? 2 : 0);
	return width;
}

/* Returns false when there is none that may go. */
static bool leave_one_out(const struct table *table, size_t *widths)
{
	size_t least = 0;

	for (size_t i = 1; i < table->width; i++)
		if (widths[i] > 0 &&
		    (widths[least] == 0 || table->columns[i].spare > table->columns[least].spare))
			least = i;
	if (table->columns[least].spare == 0)
		return false;
	widths[least] = 0;
	return true;
}

static void print_row(const struct table *table, const struct table_look *look,
		      const size_t *widths, const struct table_cell *cells)
{
	size_t pending = 0; /* blanks go out before a text only: no line ends in them */

	for (size_t i = 0; i < table->width; i++) {
		const char *text = cells ? cells[i].text : table->columns[i].title;
		enum table_mark mark = cells ? cells[i].mark : TABLE_PLAIN;
		bool right = table->columns[i].align == TABLE_RIGHT;
		size_t blanks;

		if (widths[i] == 0)
			continue;
		blanks = widths[i] - shown(text);
		if (right)
			pending += blanks;
		if (*text) {
			printf("%*s%s%s%s", (int)pending, "", table_paint(look, mark), text,
			       table_unpaint(look, mark));
			pending = 0;
		}
		pending += right ? 2 : blanks + 2;
	}
	putchar('\n');
}

int table_print(const struct table *table, const struct table_look *look)
{
	size_t *widths = calloc(table->width, sizeof(*widths));

	if (!widths || table->failed) {
		free(widths);
		errno = ENOMEM;
		return -1;
	}
	for (size_t i = 0; i < table->width; i++)
		widths[i] = widest(table, i);
	while (look->width > 0 && line_width(table, widths) > look->width)
		if (!leave_one_out(table, widths))
			break;
	print_row(table, look, widths, NULL);
	for (size_t i = 0; i + table->width <= table->count; i += table->width)
		print_row(table, look, widths, table->cells + i);
	free(widths);
	return 0;
}

void table_free(struct table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i].text);
	free(table->cells);
	table->cells = NULL;
	table->count = table->room = 0;
}
