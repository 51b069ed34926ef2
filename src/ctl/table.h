/* SPDX-License-Identifier: ISC */
/* A table of text, its columns as wide as their widest cell. */
#ifndef CTL_TABLE_H
#define CTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_column {
	const char *title;
	enum { TABLE_LEFT, TABLE_RIGHT } align;
	int spare; /* where the terminal is too narrow, the largest is left out first; 0: never */
};

/* What a cell is like, on a terminal. */
enum table_mark { TABLE_PLAIN, TABLE_GOOD, TABLE_WARNING, TABLE_BAD };

struct table_cell {
	char *text;
	enum table_mark mark;
};

struct table {
	const struct table_column *columns;
	size_t width; /* in columns */
	struct table_cell *cells;
	size_t count;
	size_t room;
	int failed; /* memory was short; table_print says so */
};

/* How the table, and what is around it, is shown. */
struct table_look {
	bool color;
	unsigned width; /* in characters; 0: no matter */
};

#define TABLE(list)                                                          \
	{                                                                    \
		.columns = (list), .width = sizeof(list) / sizeof((list)[0]) \
	}

struct error;
/* Of stdout. color: NULL, or `auto` `always` `never`. Returns 0, or -1 with err. */
int table_look_of(struct table_look *look, const char *color, struct error *err);
/* Adds the next cell, from left to right. */
void table_add(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The last cell. */
void table_mark(struct table *table, enum table_mark mark);
/* Writes the table to stdout. Returns 0, or -1 with errno. */
int table_print(const struct table *table, const struct table_look *look);
void table_free(struct table *table);
/* What is to be written before and after a text of the mark. */
const char *table_paint(const struct table_look *look, enum table_mark mark);
const char *table_unpaint(const struct table_look *look, enum table_mark mark);

#endif
