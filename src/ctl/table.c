/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl/table.h"

static int make_room(struct table *table)
{
	if (table->count < table->room)
		return 0;
	size_t room = table->room ? 2 * table->room : 64;
	char **cells = reallocarray(table->cells, room, sizeof(*cells));
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
	table->cells[table->count++] = text;
}

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
		if (shown(table->cells[i]) > width)
			width = shown(table->cells[i]);
	return width;
}

static void print_row(const struct table *table, const size_t *widths, char *const *cells)
{
	size_t pending = 0; /* blanks go out before a text only: no line ends in them */

	for (size_t i = 0; i < table->width; i++) {
		const char *text = cells ? cells[i] : table->columns[i].title;
		size_t blanks = widths[i] - shown(text);
		int right = table->columns[i].align == TABLE_RIGHT;
		if (right)
			pending += blanks;
		if (*text) {
			printf("%*s%s", (int)pending, "", text);
			pending = 0;
		}
		pending += right ? 2 : blanks + 2;
	}
	putchar('\n');
}

int table_print(const struct table *table)
{
	size_t *widths = calloc(table->width, sizeof(*widths));

	if (!widths || table->failed) {
		free(widths);
		errno = ENOMEM;
		return -1;
	}
	for (size_t i = 0; i < table->width; i++)
		widths[i] = widest(table, i);
	print_row(table, widths, NULL);
	for (size_t i = 0; i + table->width <= table->count; i += table->width)
		print_row(table, widths, table->cells + i);
	free(widths);
	return 0;
}

void table_free(struct table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i]);
	free(table->cells);
	table->cells = NULL;
	table->count = table->room = 0;
}
