/* SPDX-License-Identifier: ISC */
/* hosts.allow and hosts.deny, see hosts_access(5): which of their rules are for a program. */
#include <config.h>

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "ctl/import.h"

/* The daemons that a rule is for: names, ALL, either with @HOST, and EXCEPT others. */
static bool is_for(struct arena *arena, const char *daemons, const char *program)
{
	struct texts words = texts_split(arena, daemons, " \t,");
	bool found = false;

	for (size_t i = 0; i < words.count; i++) {
		char *word = words.items[i];

		word[strcspn(word, "@")] = '\0';
		if (strcasecmp(word, "EXCEPT") == 0)
			return found && !is_for(arena, strcasestr(daemons, "EXCEPT") + 6, program);
		if (strcasecmp(word, "ALL") == 0 || strcasecmp(word, program) == 0)
			found = true;
	}
	return found;
}

/* A rule goes on behind a backslash at the end of a line. */
static char *read_rule(struct arena *arena, char **rest, int *line)
{
	char *rule = import_line(rest);

	if (!rule)
		return NULL;
	while (*line += 1, *rule && rule[strlen(rule) - 1] == '\\') {
		char *more = import_line(rest);

		rule[strlen(rule) - 1] = '\0';
		if (!more)
			break;
		rule = arena_format(arena, "%s%s", rule, more);
	}
	return rule;
}

static void find_rules(struct import *import, const char *path, const char *program,
		       struct texts *found)
{
	struct arena *arena = &import->arena;
	char *text, *rule;
	int line = 0, first;

	if (access(path, F_OK) < 0 || !(text = import_read(import, path)))
		return;
	while (first = line + 1, (rule = read_rule(arena, &text, &line))) {
		rule += strspn(rule, " \t");
		if (!*rule || *rule == '#' || !strchr(rule, ':'))
			continue;
		if (is_for(arena, arena_cut(arena, rule, strcspn(rule, ":")), program))
			texts_add(arena, found,
				  arena_format(arena, "%s:%d: %s", path, first, rule));
	}
}

/* Of a file in a folder xinetd.d they are beside the folder. */
static char *folder_of_hosts(struct import *import, const char *file)
{
	char *folder = import_folder(import, file);
	size_t length = strlen(folder);

	if (length > 2 && strcmp(folder + length - 2, ".d") == 0)
		return import_folder(import, folder);
	return folder;
}

struct texts import_hosts(struct import *import, const char *file, const char *program)
{
	static const char *const names[] = {"hosts.allow", "hosts.deny"};
	const char *folder = folder_of_hosts(import, file), *slash = strrchr(program, '/');
	struct texts found = {0};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		find_rules(import,
			   arena_format(&import->arena, "%s/%s",
					strcmp(folder, "/") == 0 ? "" : folder, names[i]),
			   slash ? slash + 1 : program, &found);
	return found;
}
