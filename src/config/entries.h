/* SPDX-License-Identifier: ISC */
/*
 * What was written, where, before anybody asked what it means: `key = value` after `key = value`,
 * from files in order or from the command line.
 */
#ifndef CONFIG_ENTRIES_H
#define CONFIG_ENTRIES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum entry_scope { ENTRY_GLOBAL, ENTRY_SERVICE, ENTRY_OPTION };

struct entry_service {
	char *name;
	char *file;
	int line;
	bool cut; /* by a syntax error: there may have been more of it */
};

struct entry {
	enum entry_scope scope;
	size_t service; /* index, unless ENTRY_GLOBAL */
	char *file;     /* or "command line" */
	int line;       /* 0 on the command line */
	char *key;
	char **values;
	size_t count;
};

struct entries {
	struct entry *items;
	size_t count;
	struct entry_service *services;
	size_t service_count;
};

struct entries *entries_new(void);
struct entries *entries_copy(const struct entries *from);
void entries_free(struct entries *entries);
/* The strings are copied. */
size_t entries_add_service(struct entries *entries, const char *name, const char *file, int line);
struct entry *entries_add(struct entries *entries, enum entry_scope scope, const char *file,
			  int line, const char *key);
/* Forgets all but the first of each. */
void entries_truncate(struct entries *entries, size_t count, size_t service_count);
void entry_add_value(struct entry *entry, const char *value);

/*
 * Reads FILE, then the *.conf files of its folder, sorted: conf.d beside a preforkd.conf, FILE.d
 * beside any other. Syntax errors, the first of each file, go to errors, as do files that cannot be
 * read and, for root, files that others may write.
 */
int entries_read(struct entries *entries, const char *file, struct error_list *errors);

#endif
