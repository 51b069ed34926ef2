/* SPDX-License-Identifier: ISC */
/* The syntax of xinetd.conf: lines, entries in braces, files that include files. */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "ctl/import_xinetd.h"

#define BLANKS    " \t\r\f\v"
#define DEPTH_MAX 16

struct reader {
	struct import *import;
	struct xinetd *xinetd;
	const char *file;
	char *rest;
	int line;
	bool alone;
};

/* Without blanks around it; comments and empty lines are passed over. */
static char *next_line(struct reader *reader)
{
	char *line, *end;

	while ((line = import_line(&reader->rest))) {
		reader->line++;
		line += strspn(line, BLANKS);
		end = line + strlen(line);
		while (end > line && strchr(BLANKS, end[-1]))
			*--end = '\0';
		if (*line && *line != '#')
			return line;
	}
	return NULL;
}

static void complain(const struct reader *reader, const char *what)
{
	import_error(reader->import, EX_DATAERR, reader->file, reader->line, "%s", what);
}

/* NAME = VALUE..., NAME += VALUE..., NAME -= VALUE... */
static void read_attribute(struct reader *reader, struct xentry *entry, char *line)
{
	struct arena *arena = &reader->import->arena;
	char *sign = strchr(line, '='), *end = sign;
	struct xattribute attribute = {.op = '=', .line = reader->line};

	if (!sign) {
		complain(reader, "expected ATTRIBUTE = VALUE or }");
		return;
	}
	if (sign > line && strchr("+-", sign[-1]))
		attribute.op = *--end;
	while (end > line && strchr(BLANKS, end[-1]))
		end--;
	attribute.name = arena_cut(arena, line, (size_t)(end - line));
	attribute.values = texts_split(arena, sign + 1, BLANKS);
	entry->attributes = arena_more(arena, entry->attributes, entry->count, entry->count + 1,
				       sizeof(attribute));
	entry->attributes[entry->count++] = attribute;
}

/* All up to the closing brace. Returns false at the end of the file. */
static bool read_attributes(struct reader *reader, struct xentry *entry)
{
	char *line;

	while ((line = next_line(reader))) {
		if (strcmp(line, "}") == 0)
			return true;
		read_attribute(reader, entry, line);
	}
	import_error(reader->import, EX_DATAERR, reader->file, entry->line,
		     "a brace that is never closed");
	return false;
}

static bool read_brace(struct reader *reader, const struct texts *words)
{
	const char *line = "";

	if (strcmp(words->items[words->count - 1], "{") == 0 ||
	    ((line = next_line(reader)) && strcmp(line, "{") == 0))
		return true;
	complain(reader, "expected a { on a line by itself");
	return false;
}

static void read_entry(struct reader *reader, const struct texts *words, bool defaults)
{
	struct arena *arena = &reader->import->arena;
	struct xinetd *x = reader->xinetd;
	struct xentry *entry = arena_take(arena, sizeof(*entry));

	entry->name = defaults ? "defaults" : words->items[1];
	entry->file = reader->file;
	entry->line = reader->line;
	if (!read_brace(reader, words) || !read_attributes(reader, entry))
		return;
	if (defaults && x->defaults) {
		import_error(reader->import, EX_DATAERR, entry->file, entry->line,
			     "defaults a second time, after %s:%d; xinetd takes the first",
			     x->defaults->file, x->defaults->line);
	} else if (defaults) {
		x->defaults = entry;
	} else {
		x->entries = arena_more(arena, x->entries, x->count, x->count + 1,
					sizeof(struct xentry *));
		x->entries[x->count++] = entry;
	}
}

/* ---- files that are included ---- */

static void read_included(struct reader *reader, const char *file)
{
	char *text = import_read(reader->import, file);

	if (!text)
		return;
	texts_add(&reader->import->arena, &reader->import->files, file);
	xinetd_read(reader->import, arena_text(&reader->import->arena, file), text, false);
}

static int is_included(const struct dirent *entry)
{
	return !strchr(entry->d_name, '.') && entry->d_name[strlen(entry->d_name) - 1] != '~';
}

/* Not alphasort(3), which goes by the locale. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

struct texts import_included(struct import *import, const char *folder)
{
	struct texts files = {0};
	struct dirent **found = NULL;
	int count = scandir(folder, &found, is_included, by_name);

	if (count < 0)
		import_error(import, EX_NOINPUT, folder, 0, "%s", strerror(errno));
	for (int i = 0; i < count; i++) {
		texts_add(&import->arena, &files,
			  arena_format(&import->arena, "%s/%s", folder, found[i]->d_name));
		free(found[i]);
	}
	free(found);
	return files;
}

static void include(struct reader *reader, const char *what, const char *path)
{
	struct texts files = {0};

	if (reader->alone)
		return;
	if (reader->xinetd->depth == DEPTH_MAX) {
		complain(reader, "files that include files, too deep");
		return;
	}
	if (strcmp(what, "includedir") == 0)
		files = import_included(reader->import, path);
	else
		texts_add(&reader->import->arena, &files, path);
	reader->xinetd->depth++;
	for (size_t i = 0; i < files.count; i++)
		read_included(reader, files.items[i]);
	reader->xinetd->depth--;
}

/* ---- a file ---- */

static void read_line(struct reader *reader, const char *line)
{
	struct texts words = texts_split(&reader->import->arena, line, BLANKS);
	const char *word = words.items[0];

	if (strcmp(word, "defaults") == 0)
		read_entry(reader, &words, true);
	else if (strcmp(word, "service") == 0 && words.count > 1)
		read_entry(reader, &words, false);
	else if (strncmp(word, "include", 7) == 0 && words.count > 1)
		include(reader, word, words.items[1]);
	else
		complain(reader, "expected service NAME, defaults, include FILE or includedir "
				 "FOLDER");
}

void xinetd_read(struct import *import, const char *file, char *text, bool alone)
{
	struct reader reader = {
		.import = import,
		.xinetd = import->xinetd,
		.file = file,
		.rest = text,
		.alone = alone,
	};
	char *line;

	while ((line = next_line(&reader)))
		read_line(&reader, line);
}
