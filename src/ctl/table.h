/* SPDX-License-Identifier: ISC */
/* A table of text, its columns as wide as their widest cell. */
#ifndef CTL_TABLE_H
#define CTL_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct table_column {
	const char *title;
	enum { TABLE_LEFT, TABLE_RIGHT } align;
};

struct table {
	const struct table_column *columns;
	size_t width; /* in columns */
	char **cells;
	size_t count;
	size_t room;
	int failed; /* memory was short; table_print says so */
};

#define TABLE(list)                                                          \
	{                                                                    \
		.columns = (list), .width = sizeof(list) / sizeof((list)[0]) \
	}

/* Adds the next cell, from left to right. */
void table_add(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Writes the table to stdout. Returns 0, or -1 with errno. */
int table_print(const struct table *table);
void table_free(struct table *table);

#endif
