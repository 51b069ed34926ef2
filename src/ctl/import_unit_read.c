/* SPDX-License-Identifier: ISC */
/* A unit's file and its drop-ins. */
#include <config.h>

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "ctl/import_unit.h"

#define BLANKS " \t\r\f\v"

static const char *const system_folders[] = {
	"/etc/systemd/system",     "/run/systemd/system", "/usr/local/lib/systemd/system",
	"/usr/lib/systemd/system", "/lib/systemd/system", NULL};
static const char *const user_folders[] = {"/etc/systemd/user", "/run/systemd/user",
					   "/usr/local/lib/systemd/user", "/usr/lib/systemd/user",
					   NULL};

/* ---- settings ---- */

const char *unit_value(const struct unit *unit, const char *section, const char *key)
{
	for (size_t i = unit->count; i > 0; i--) {
		const struct setting *setting = &unit->settings[i - 1];

		if (strcmp(setting->section, section) == 0 && strcmp(setting->key, key) == 0)
			return setting->value;
	}
	return NULL;
}

bool unit_truth(const char *value)
{
	static const char *const names[] = {"1", "yes", "y", "true", "t", "on"};

	for (size_t i = 0; value && i < sizeof(names) / sizeof(names[0]); i++)
		if (strcasecmp(value, names[i]) == 0)
			return true;
	return false;
}

/* An empty value takes back those before; an empty Listen takes back all of them. */
static bool takes_back(const struct setting *setting, const struct setting *before)
{
	bool listen = strncmp(setting->key, "Listen", 6) == 0;

	return strcmp(setting->section, before->section) == 0 &&
	       (strcmp(setting->key, before->key) == 0 ||
		(listen && strncmp(before->key, "Listen", 6) == 0));
}

static void add_setting(struct import *import, struct unit *unit, const struct setting *setting)
{
	size_t kept = 0;

	if (*setting->value) {
		unit->settings = arena_more(&import->arena, unit->settings, unit->count,
					    unit->count + 1, sizeof(*setting));
		unit->settings[unit->count++] = *setting;
		return;
	}
	for (size_t i = 0; i < unit->count; i++)
		if (!takes_back(setting, &unit->settings[i]))
			unit->settings[kept++] = unit->settings[i];
	unit->count = kept;
}

/* ---- a file ---- */

static char *trimmed(char *text)
{
	char *end;

	text += strspn(text, BLANKS);
	end = text + strlen(text);
	while (end > text && strchr(BLANKS, end[-1]))
		*--end = '\0';
	return text;
}

/* A line and those that it goes on with, behind a backslash at its end. Comments in between are
 * none of it. */
static char *read_line(struct arena *arena, char **rest, int *line)
{
	char *text = import_line(rest);
	size_t length;

	if (text)
		*line += 1;
	while (text && (length = strlen(text)) > 0 && text[length - 1] == '\\') {
		char *more = import_line(rest);

		text[length - 1] = '\0';
		*line += more != NULL;
		while (more && strchr("#;", more[strspn(more, BLANKS)]) &&
		       more[strspn(more, BLANKS)]) {
			more = import_line(rest);
			*line += more != NULL;
		}
		if (!more)
			break;
		text = arena_format(arena, "%s %s", text, more);
	}
	return text;
}

static void take_line(struct import *import, struct unit *unit, char *line, struct setting *at)
{
	char *sign;

	line = trimmed(line);
	if (!*line || strchr("#;", *line))
		return;
	if (*line == '[' && line[strlen(line) - 1] == ']') {
		at->section = arena_cut(&import->arena, line + 1, strlen(line) - 2);
		return;
	}
	sign = strchr(line, '=');
	if (!sign || !at->section) {
		import_error(import, EX_DATAERR, at->file, at->line,
			     "expected [SECTION], and KEY=VALUE in it");
		return;
	}
	*sign = '\0';
	at->key = trimmed(line);
	at->value = trimmed(sign + 1);
	add_setting(import, unit, at);
}

static void read_file(struct import *import, struct unit *unit, const char *file)
{
	char *rest = import_read(import, file), *line;
	struct setting at = {.file = arena_text(&import->arena, file)};
	int number = 0;

	if (!rest)
		return;
	if (!texts_have(&import->files, file))
		texts_add(&import->arena, &import->files, file);
	while (at.line = number + 1, (line = read_line(&import->arena, &rest, &number)))
		take_line(import, unit, line, &at);
}

/* ---- where files are ---- */

static bool is_among(const char *folder, const char *const *folders)
{
	for (; *folders; folders++)
		if (strcmp(folder, *folders) == 0)
			return true;
	return false;
}

/* A folder that is not systemd's stands for itself alone. */
static struct texts folders_of(struct import *import, const char *folder)
{
	const char *const *path = NULL;
	struct texts folders = {0};

	if (is_among(folder, system_folders))
		path = system_folders;
	else if (is_among(folder, user_folders))
		path = user_folders;
	for (; path && *path; path++)
		texts_add(&import->arena, &folders, *path);
	if (folders.count == 0)
		texts_add(&import->arena, &folders, folder);
	return folders;
}

/* web@front.service is made of web@.service. */
static char *template_of(struct arena *arena, const char *name)
{
	const char *at = strchr(name, '@'), *dot = strrchr(name, '.');

	return at && dot > at ? arena_format(arena, "%.*s@%s", (int)(at - name), name, dot) : NULL;
}

static char *find_file(struct import *import, const struct texts *folders, const char *name)
{
	for (size_t i = 0; name && i < folders->count; i++) {
		char *file = arena_format(&import->arena, "%s/%s", folders->items[i], name);

		if (access(file, F_OK) == 0)
			return file;
	}
	return NULL;
}

/* ---- drop-ins ---- */

/* Of the folders that a unit's drop-ins are in, the one that counts most first: of the instance, of
 * its template, of the names cut at their dashes, of all units of the type. */
static struct texts drop_in_names(struct arena *arena, const char *name)
{
	struct texts names = {0};
	const char *dot = strrchr(name, '.'), *template = template_of(arena, name);
	char *cut = arena_cut(arena, name, strcspn(name, "@")), *dash;

	texts_add(arena, &names, arena_format(arena, "%s.d", name));
	if (template && strcmp(template, name) != 0)
		texts_add(arena, &names, arena_format(arena, "%s.d", template));
	while ((dash = strrchr(cut, '-'))) {
		texts_add(arena, &names,
			  arena_format(arena, "%.*s-%s.d", (int)(dash - cut), cut, dot));
		*dash = '\0';
	}
	texts_add(arena, &names, arena_format(arena, "%s.d", dot + 1));
	return names;
}

static const char *base_name(const char *path)
{
	return strrchr(path, '/') + 1;
}

static int is_drop_in(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return *entry->d_name != '.' && dot && strcmp(dot, ".conf") == 0;
}

/* A file of the same name that was found before counts instead. */
static void find_in(struct import *import, const char *folder, struct texts *files)
{
	struct dirent **found = NULL;
	int count = scandir(folder, &found, is_drop_in, alphasort);
	size_t before = files->count;

	for (int i = 0; i < count; i++) {
		bool again = false;

		for (size_t j = 0; j < before; j++)
			again |= strcmp(base_name(files->items[j]), found[i]->d_name) == 0;
		if (!again)
			texts_add(&import->arena, files,
				  arena_format(&import->arena, "%s/%s", folder, found[i]->d_name));
		free(found[i]);
	}
	free(found);
}

static int by_base_name(const void *a, const void *b)
{
	return strcmp(base_name(*(char *const *)a), base_name(*(char *const *)b));
}

static void read_drop_ins(struct import *import, struct unit *unit, const struct texts *folders)
{
	struct texts names = drop_in_names(&import->arena, unit->name), files = {0};

	for (size_t n = 0; n < names.count; n++)
		for (size_t i = 0; i < folders->count; i++)
			find_in(import,
				arena_format(&import->arena, "%s/%s", folders->items[i],
					     names.items[n]),
				&files);
	if (files.count)
		qsort(files.items, files.count, sizeof(char *), by_base_name);
	for (size_t i = 0; i < files.count; i++)
		read_file(import, unit, files.items[i]);
}

/* ---- the unit ---- */

static bool is_masked(const char *file)
{
	struct stat st;

	return stat(file, &st) == 0 && (st.st_size == 0 || S_ISCHR(st.st_mode));
}

static void split_name(struct import *import, struct unit *unit, const char *name)
{
	const char *at = strchr(name, '@'), *dot = strrchr(name, '.');

	unit->name = arena_text(&import->arena, name);
	unit->prefix = arena_cut(&import->arena, name, (size_t)((at ? at : dot) - name));
	unit->template = at && at + 1 == dot;
	if (at && !unit->template)
		unit->instance = arena_cut(&import->arena, at + 1, (size_t)(dot - at - 1));
}

const struct unit *unit_find(struct import *import, const char *folder, const char *name)
{
	struct texts folders = folders_of(import, folder);
	struct unit *unit = arena_take(&import->arena, sizeof(*unit));
	const char *file = find_file(import, &folders, name);

	if (!file)
		file = find_file(import, &folders, template_of(&import->arena, name));
	if (!file)
		return NULL;
	if (is_masked(file)) {
		import_error(import, EX_DATAERR, file, 0, "is masked");
		return NULL;
	}
	split_name(import, unit, name);
	unit->file = file;
	unit->of_user = strstr(file, "/systemd/user/") != NULL;
	read_file(import, unit, file);
	read_drop_ins(import, unit, &folders);
	return unit;
}
