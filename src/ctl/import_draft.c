/* SPDX-License-Identifier: ISC */
/* A draft of a service: keys, notes, and why it is not enabled. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "ctl/import.h"

/* In the order of preforkd.conf(5), nearly. */
const struct import_key import_keys[] = {
	{"listen", FORM_LIST},
	{"builtin", FORM_TEXT},
	{"exec", FORM_LIST},
	{"acceptor", FORM_LIST},
	{"pass_as", FORM_TEXT},
	{"ready", FORM_OPTION},
	{"stderr", FORM_TEXT},
	{"stop_signal", FORM_TEXT},
	{"environment", FORM_LIST},
	{"user", FORM_TEXT},
	{"group", FORM_TEXT},
	{"chroot", FORM_TEXT},
	{"directory", FORM_TEXT},
	{"umask", FORM_BARE},
	{"nice", FORM_BARE},
	{"limit_nofile", FORM_BARE},
	{"limit_as", FORM_BARE},
	{"limit_cpu", FORM_BARE},
	{"limit_nproc", FORM_BARE},
	{"limit_core", FORM_BARE},
	{"sandbox", FORM_TEXT},
	{"workers", FORM_BARE},
	{"workers_max", FORM_BARE},
	{"per_source", FORM_BARE},
	{"rate", FORM_TEXT},
	{"rate_per_source", FORM_TEXT},
	{"allow", FORM_LIST},
	{"deny", FORM_LIST},
	{"busy_message", FORM_TEXT},
	{"start_timeout", FORM_BARE},
	{"stop_timeout", FORM_BARE},
	{"connection_timeout", FORM_BARE},
	{"log_connections", FORM_BARE},
	{"backlog", FORM_BARE},
	{"nodelay", FORM_BARE},
	{"keepalive", FORM_BARE},
	{"defer_accept", FORM_BARE},
	{"free_bind", FORM_BARE},
	{"bind_device", FORM_TEXT},
	{"socket_user", FORM_TEXT},
	{"socket_group", FORM_TEXT},
	{"socket_mode", FORM_BARE},
	{NULL, FORM_BARE},
};

void import_error(struct import *import, int code, const char *file, int line, const char *format,
		  ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = arena_vformat(&import->arena, format, args);
	va_end(args);
	if (line)
		error_list_add(&import->errors, code, "%s:%d: %s", file, line, text);
	else
		error_list_add(&import->errors, code, "%s: %s", file, text);
}

void import_remark(struct import *import, const char *text)
{
	if (!texts_have(&import->remarks, text))
		texts_add(&import->arena, &import->remarks, text);
}

struct draft *draft_new(struct import *import, const char *name, const char *file, int line)
{
	struct arena *arena = &import->arena;
	struct draft *draft = arena_take(arena, sizeof(*draft));
	size_t n = import->draft_count++;

	draft->import = import;
	draft->name = arena_text(arena, name);
	draft->other = "";
	texts_add(arena, &draft->from,
		  line ? arena_format(arena, "%s:%d", file, line) : arena_text(arena, file));
	import->drafts = arena_more(arena, import->drafts, n, n + 1, sizeof(struct draft *));
	import->drafts[n] = draft;
	return draft;
}

/* ---- keys ---- */

static struct draft_value *find(const struct draft *draft, const char *key)
{
	for (size_t i = 0; i < draft->value_count; i++)
		if (strcmp(draft->values[i].key->name, key) == 0)
			return &draft->values[i];
	return NULL;
}

static struct draft_value *find_or_make(struct draft *draft, const char *name)
{
	struct draft_value *value = find(draft, name);
	const struct import_key *key = import_keys;
	size_t n = draft->value_count;

	if (value)
		return value;
	/* The last one is the end of the table: a name that is not in it is a mistake in here. */
	while (key->name && strcmp(key->name, name) != 0)
		key++;
	draft->values =
		arena_more(&draft->import->arena, draft->values, n, n + 1, sizeof(*draft->values));
	draft->values[n].key = key;
	draft->value_count++;
	return &draft->values[n];
}

void draft_set(struct draft *draft, const char *key, const char *format, ...)
{
	struct draft_value *value = find_or_make(draft, key);
	va_list args;
	char *text;

	va_start(args, format);
	text = arena_vformat(&draft->import->arena, format, args);
	va_end(args);
	value->values = (struct texts){0};
	value->remark = NULL;
	texts_add(&draft->import->arena, &value->values, text);
}

void draft_unset(struct draft *draft, const char *key)
{
	struct draft_value *value = find(draft, key);

	if (value)
		*value = draft->values[--draft->value_count];
}

void draft_add(struct draft *draft, const char *key, const char *value)
{
	texts_add(&draft->import->arena, &find_or_make(draft, key)->values, value);
}

void draft_list(struct draft *draft, const char *key, const struct texts *values)
{
	struct draft_value *value = find_or_make(draft, key);

	value->values = (struct texts){0};
	for (size_t i = 0; i < values->count; i++)
		draft_add(draft, key, values->items[i]);
}

void draft_remark(struct draft *draft, const char *key, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	find_or_make(draft, key)->remark = arena_vformat(&draft->import->arena, format, args);
	va_end(args);
}

const struct texts *draft_values(const struct draft *draft, const char *key)
{
	const struct draft_value *value = find(draft, key);

	return value ? &value->values : NULL;
}

const char *draft_value(const struct draft *draft, const char *key)
{
	const struct texts *values = draft_values(draft, key);

	return values && values->count ? values->items[0] : "";
}

/* ---- comments ---- */

static struct draft_note *note_of(struct draft *draft, const char *why)
{
	size_t n = draft->note_count;

	for (size_t i = 0; i < n; i++)
		if (strcmp(draft->notes[i].why, why) == 0)
			return &draft->notes[i];
	draft->notes =
		arena_more(&draft->import->arena, draft->notes, n, n + 1, sizeof(*draft->notes));
	draft->notes[n].why = why;
	draft->note_count++;
	return &draft->notes[n];
}

void draft_note(struct draft *draft, const char *why, const char *format, ...)
{
	struct draft_note *note = note_of(draft, why);
	va_list args;
	char *what;

	va_start(args, format);
	what = arena_vformat(&draft->import->arena, format, args);
	va_end(args);
	if (!texts_have(&note->what, what))
		texts_add(&draft->import->arena, &note->what, what);
}

void draft_say(struct draft *draft, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	note_of(draft, arena_vformat(&draft->import->arena, format, args));
	va_end(args);
}

void draft_off(struct draft *draft, const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = arena_vformat(&draft->import->arena, format, args);
	va_end(args);
	if (!texts_have(&draft->off, text))
		texts_add(&draft->import->arena, &draft->off, text);
}

void draft_none(struct draft *draft, const char *format, ...)
{
	va_list args;

	draft->none = true;
	va_start(args, format);
	note_of(draft, arena_vformat(&draft->import->arena, format, args));
	va_end(args);
}
