/* SPDX-License-Identifier: ISC */
/* The environment of a unit's program, as far as the unit says it: Environment=, EnvironmentFile=,
 * and the variables of a command line. */
#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <pwd.h>
#include <string.h>
#include <sysexits.h>

#include "ctl/import_unit.h"

#define BLANKS  " \t\r"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

static size_t name_length(const char *text)
{
	return isdigit((unsigned char)*text) ? 0 : strspn(text, LETTERS);
}

/* In the place of one of the same name. */
void unit_environment_add(struct unit_pair *pair, const char *assignment)
{
	struct arena *arena = &pair->import->arena;
	size_t length = name_length(assignment);

	if (length == 0 || assignment[length] != '=') {
		draft_note(pair->draft, "not NAME=VALUE", "%s", assignment);
		return;
	}
	for (size_t i = 0; i < pair->environment.count; i++) {
		if (strncmp(pair->environment.items[i], assignment, length + 1) != 0)
			continue;
		pair->environment.items[i] = arena_text(arena, assignment);
		return;
	}
	texts_add(arena, &pair->environment, assignment);
}

const char *unit_environment_get(const struct unit_pair *pair, const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < pair->environment.count; i++)
		if (strncmp(pair->environment.items[i], name, length) == 0 &&
		    pair->environment.items[i][length] == '=')
			return pair->environment.items[i] + length + 1;
	return NULL;
}

/* ---- EnvironmentFile= ---- */

/* A value in quotes may go on over lines; in double ones a backslash keeps what would mean
 * something.
 */
static char *take_quoted(struct arena *arena, char **rest)
{
	char quote = **rest, *in = *rest + 1, *value = arena_take(arena, strlen(in) + 1);
	char *out = value;

	while (*in && *in != quote) {
		bool escape = quote == '"' && *in == '\\';

		if (escape && in[1] == '\n') {
			in += 2;
			continue;
		}
		if (escape && in[1] && strchr("\"\\`$", in[1]))
			in++;
		*out++ = *in++;
	}
	*rest = *in ? in + 1 : in;
	*rest += strcspn(*rest, "\n");
	return value;
}

static char *take_plain(struct arena *arena, char **rest)
{
	char *in = *rest, *value = arena_take(arena, strlen(in) + 1), *out = value, *end = value;

	while (*in && *in != '\n') {
		bool kept = *in == '\\' && in[1];

		in += kept;
		if (!kept || *in != '\n')
			*out++ = *in;
		if (kept || !strchr(BLANKS, *in))
			end = out;
		in++;
	}
	*end = '\0';
	*rest = in;
	return value;
}

static void take_assignments(struct unit_pair *pair, char *text)
{
	struct arena *arena = &pair->import->arena;

	for (; *text; text += *text == '\n') {
		size_t length;
		char *name, *value;

		text += strspn(text, BLANKS "\n");
		length = name_length(text);
		if (!*text || length == 0 || text[length + strspn(text + length, BLANKS)] != '=') {
			text += strcspn(text, "\n");
			continue;
		}
		name = arena_cut(arena, text, length);
		text = strchr(text, '=') + 1;
		text += strspn(text, BLANKS);
		value = *text && strchr("\"'", *text) ? take_quoted(arena, &text)
						      : take_plain(arena, &text);
		unit_environment_add(pair, arena_format(arena, "%s=%s", name, value));
	}
}

/* As it is now: systemd reads it at every start. */
static void take_file(struct unit_pair *pair, const struct setting *setting)
{
	const char *path = unit_expand(pair, pair->service, setting->value);
	bool may_lack = *path == '-';
	glob_t found = {0};

	path += may_lack;
	if (glob(path, 0, NULL, &found) != 0)
		found.gl_pathc = 0;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		char *text = import_read(pair->import, found.gl_pathv[i]);

		if (text)
			take_assignments(pair, text);
		draft_note(pair->draft, "its variables are in here, as they are now", "%s=%s",
			   setting->key, found.gl_pathv[i]);
	}
	if (found.gl_pathc == 0)
		draft_note(pair->draft, "there is no such file", "%s=%s", setting->key,
			   setting->value);
	if (found.gl_pathc == 0 && !may_lack)
		draft_off(pair->draft, "%s is missing, without which it did not start", path);
	globfree(&found);
}

/* ---- all ---- */

static void take_words(struct unit_pair *pair, const struct setting *setting)
{
	struct texts words = {0};

	if (!unit_words(&pair->import->arena, setting->value, &words))
		import_error(pair->import, EX_DATAERR, setting->file, setting->line,
			     "%s: a quote that is never closed", setting->key);
	for (size_t i = 0; i < words.count; i++)
		unit_environment_add(pair, unit_expand(pair, pair->service, words.items[i]));
}

static void take_all(struct unit_pair *pair, const char *key,
		     void (*take)(struct unit_pair *, const struct setting *))
{
	for (size_t i = 0; i < pair->service->count; i++) {
		const struct setting *setting = &pair->service->settings[i];

		if (strcmp(setting->section, "Service") == 0 && strcmp(setting->key, key) == 0)
			take(pair, setting);
	}
}

void unit_environment_read(struct unit_pair *pair)
{
	take_all(pair, "Environment", take_words);
	take_all(pair, "EnvironmentFile", take_file);
	if (pair->environment.count)
		draft_list(pair->draft, "environment", &pair->environment);
}

/* ---- command lines ---- */

/* What systemd knows of a user without being told. */
static const char *of_user(const struct unit_pair *pair, const char *name)
{
	const char *user = draft_value(pair->draft, "user");
	/* cppcheck-suppress getpwnamCalled; one thread */
	const struct passwd *entry = *user ? getpwnam(user) : NULL;

	if (!entry)
		return NULL;
	if (strcmp(name, "HOME") == 0)
		return entry->pw_dir;
	if (strcmp(name, "SHELL") == 0)
		return entry->pw_shell;
	return strcmp(name, "USER") == 0 || strcmp(name, "LOGNAME") == 0 ? entry->pw_name : NULL;
}

static const char *variable(struct unit_pair *pair, const char *name)
{
	const char *value = unit_environment_get(pair, name);

	if (!value)
		value = of_user(pair, name);
	if (value)
		return value;
	if (strcmp(name, "REMOTE_ADDR") == 0 || strcmp(name, "REMOTE_PORT") == 0)
		draft_off(pair->draft,
			  "$%s on its command line: here it is in the environment alone", name);
	else
		draft_say(pair->draft, "$%s is not set, as far as the unit says: empty", name);
	return "";
}

/* ${NAME} in a word, and $$ for a dollar. */
static char *expand_word(struct unit_pair *pair, const char *word)
{
	struct arena *arena = &pair->import->arena;
	char *text = arena_text(arena, "");

	while (*word) {
		size_t plain = strcspn(word, "$"), length;

		text = arena_format(arena, "%s%.*s", text, (int)plain, word);
		word += plain;
		length = *word && word[1] == '{' ? name_length(word + 2) : 0;
		if (length && word[2 + length] == '}') {
			text = arena_format(arena, "%s%s", text,
					    variable(pair, arena_cut(arena, word + 2, length)));
			word += length + 3;
		} else if (*word) {
			text = arena_format(arena, "%s$", text);
			word += word[1] == '$' ? 2 : 1;
		}
	}
	return text;
}

struct texts unit_environment_expand(struct unit_pair *pair, const struct texts *words)
{
	struct arena *arena = &pair->import->arena;
	struct texts expanded = {0};

	for (size_t i = 0; i < words->count; i++) {
		const char *word = words->items[i];
		struct texts parts = {0};

		if (*word != '$' || name_length(word + 1) == 0 ||
		    word[1 + name_length(word + 1)] != '\0') {
			texts_add(arena, &expanded, expand_word(pair, word));
			continue;
		}
		/* $NAME by itself is as many words as it has. */
		unit_words(arena, variable(pair, word + 1), &parts);
		for (size_t j = 0; j < parts.count; j++)
			texts_add(arena, &expanded, parts.items[j]);
	}
	return expanded;
}
