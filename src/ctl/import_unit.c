/* SPDX-License-Identifier: ISC */
/* Which .service unit a .socket unit starts, and what is to be done with their settings. */
#include <config.h>

#include <fnmatch.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "base/parse.h"
#include "ctl/import_unit.h"

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), tail = strlen(end);

	return length > tail && strcmp(text + length - tail, end) == 0;
}

/* ---- settings ---- */

void unit_note(struct unit_pair *pair, const struct setting *setting, const char *why)
{
	draft_note(pair->draft, why, "%s=%s", setting->key, setting->value);
}

static const struct unit_rule *rule_of(const struct unit_rule *rules, const char *key)
{
	for (; rules->key; rules++)
		if (fnmatch(rules->key, key, 0) == 0)
			return rules;
	return NULL;
}

void unit_take(struct unit_pair *pair, const struct unit *unit, const char *section,
	       const struct unit_rule *rules)
{
	for (size_t i = 0; i < unit->count; i++) {
		const struct setting *setting = &unit->settings[i];
		const struct unit_rule *rule = rule_of(rules, setting->key);

		if (strcmp(setting->section, section) != 0)
			continue;
		if (!rule)
			unit_note(pair, setting, "not known here, so without an equivalent");
		else if (rule->take)
			rule->take(pair, setting);
		else if (rule->why)
			unit_note(pair, setting, rule->why);
	}
}

void unit_set(struct unit_pair *pair, const struct setting *setting, const char *key,
	      const char *value)
{
	const char *before = draft_value(pair->draft, key);

	if (!pair->first && *before && strcmp(before, value) != 0)
		unit_note(pair, setting, "for this socket alone; here a service has one for all");
	else
		draft_set(pair->draft, key, "%s", value);
}

void unit_set_truth(struct unit_pair *pair, const struct setting *setting, const char *key)
{
	unit_set(pair, setting, key, unit_truth(setting->value) ? "true" : "false");
}

void unit_set_number(struct unit_pair *pair, const struct setting *setting, const char *key,
		     uint64_t max)
{
	uint64_t number;

	if (parse_uint(setting->value, 1, max, &number) < 0)
		unit_note(pair, setting, "not a value that preforkd has");
	else
		unit_set(pair, setting, key, setting->value);
}

void unit_set_time(struct unit_pair *pair, const struct setting *setting, const char *key,
		   uint64_t max)
{
	uint64_t usec;
	char text[PARSE_TEXT_MAX];

	if (!unit_span(&pair->import->arena, setting->value, &usec) ||
	    (usec > max && usec != UINT64_MAX))
		unit_note(pair, setting, "not a value that preforkd has");
	else
		unit_set(pair, setting, key, format_duration(text, usec == UINT64_MAX ? 0 : usec));
}

/* ---- [Unit], [Install] and what is none of these ---- */

static void take_condition(struct unit_pair *pair, const struct setting *setting)
{
	unit_note(pair, setting, "no equivalent: it is there without this condition");
}

static void take_unit(struct unit_pair *pair, const struct unit *unit)
{
	static const struct unit_rule rules[] = {
		{"Description", NULL, NULL},
		{"Documentation", NULL, NULL},
		{"Condition*", take_condition, NULL},
		{"Assert*", take_condition, NULL},
		{"*", NULL, WHY_UNIT},
		{NULL, NULL, NULL},
	};

	unit_take(pair, unit, "Unit", rules);
	unit_take(pair, unit, "Install", rules + 4);
}

static void note_other_sections(struct unit_pair *pair, const struct unit *unit)
{
	static const char *const known[] = {"Unit", "Install", "Socket", "Service"};

	for (size_t i = 0; i < unit->count; i++) {
		const struct setting *setting = &unit->settings[i];
		bool is_known = false;

		for (size_t j = 0; j < sizeof(known) / sizeof(known[0]); j++)
			is_known |= strcmp(setting->section, known[j]) == 0;
		if (!is_known)
			draft_note(pair->draft, "no equivalent: a section for others", "[%s] %s=%s",
				   setting->section, setting->key, setting->value);
	}
}

/* ---- a pair ---- */

static void describe(struct unit_pair *pair)
{
	const char *text = unit_value(pair->service, "Unit", "Description");
	const char *pages = unit_value(pair->service, "Unit", "Documentation");
	struct arena *arena = &pair->import->arena;

	texts_add(arena, &pair->draft->from, pair->service->file);
	if (!text)
		text = unit_value(pair->socket, "Unit", "Description");
	if (text)
		texts_add(arena, &pair->draft->from, text);
	if (!pages)
		pages = unit_value(pair->socket, "Unit", "Documentation");
	if (pages)
		texts_add(arena, &pair->draft->from, arena_format(arena, "see %s", pages));
}

/* One more socket of a service that has a draft already. */
static void translate_more(struct unit_pair *pair)
{
	texts_add(&pair->import->arena, &pair->draft->from, pair->socket->file);
	unit_take_socket(pair);
	take_unit(pair, pair->socket);
	note_other_sections(pair, pair->socket);
}

/* With Accept=yes there is a service for each client: the name is the socket's. */
static char *wished_name(const struct unit_pair *pair)
{
	const char *name = pair->accept ? pair->socket->name : pair->service->name;

	return arena_cut(&pair->import->arena, name, (size_t)(strrchr(name, '.') - name));
}

static void translate(struct unit_pair *pair)
{
	pair->draft = draft_new(pair->import, wished_name(pair), pair->socket->file, 0);
	describe(pair);
	unit_take_socket(pair);
	pair->socket_notes = pair->draft->note_count;
	unit_take_service(pair);
	unit_environment_read(pair);
	unit_take_program(pair);
	take_unit(pair, pair->socket);
	take_unit(pair, pair->service);
	note_other_sections(pair, pair->socket);
	note_other_sections(pair, pair->service);
}

/* ---- which belong together ---- */

static char *service_name(struct import *import, const struct unit *socket, bool accept)
{
	struct arena *arena = &import->arena;
	const char *name = unit_value(socket, "Socket", "Service");

	if (accept)
		return arena_format(arena, "%s@.service", socket->prefix);
	if (name)
		return unit_expand(&(struct unit_pair){.import = import}, socket, name);
	return arena_format(arena, "%.*s.service", (int)(strlen(socket->name) - strlen(".socket")),
			    socket->name);
}

/* Among the files that were given, or beside the socket. */
static const struct unit *find_service(struct import *import, const struct unit *socket,
				       const char *name)
{
	struct units *units = import->units;
	const char *at = strchr(name, '@'), *folder = import_folder(import, socket->file);

	for (size_t i = 0; i < units->files.count; i++) {
		const char *file = base_name(units->files.items[i]);
		size_t length = at ? (size_t)(at - name) + 1 : 0;

		if (strcmp(file, name) == 0 || (at && strncmp(file, name, length) == 0 &&
						strcmp(file + length, ".service") == 0))
			folder = import_folder(import, units->files.items[i]);
	}
	return unit_find(import, folder, name);
}

/* What reads datagrams reads all of them, whatever Accept says. */
static bool accepts(const struct unit *socket)
{
	return unit_truth(unit_value(socket, "Socket", "Accept")) &&
	       (unit_value(socket, "Socket", "ListenStream") ||
		unit_value(socket, "Socket", "ListenSequentialPacket"));
}

static struct draft *draft_of(const struct units *units, const struct unit *service)
{
	for (size_t i = 0; i < units->count; i++)
		if (!units->pairs[i].accept &&
		    strcmp(units->pairs[i].service->file, service->file) == 0 &&
		    strcmp(units->pairs[i].service->name, service->name) == 0)
			return units->pairs[i].draft;
	return NULL;
}

static void take_pair(struct import *import, struct unit_pair *pair)
{
	struct units *units = import->units;

	pair->draft = pair->accept ? NULL : draft_of(units, pair->service);
	pair->first = !pair->draft;
	if (pair->first)
		translate(pair);
	else
		translate_more(pair);
	units->pairs = arena_more(&import->arena, units->pairs, units->count, units->count + 1,
				  sizeof(*pair));
	units->pairs[units->count++] = *pair;
}

static void take_socket(struct import *import, const char *file)
{
	size_t errors = import->errors.count;
	const struct unit *socket = unit_find(import, import_folder(import, file), base_name(file));
	struct unit_pair pair = {.import = import, .socket = socket};
	char *name;

	if (!socket && import->errors.count == errors)
		import_error(import, EX_NOINPUT, file, 0, "there is no such unit");
	if (!socket)
		return;
	if (socket->template) {
		draft_none(draft_new(import, "", file, 0),
			   "a template: import one of its instances, as %s@NAME.socket beside it",
			   socket->prefix);
		return;
	}
	pair.accept = accepts(socket);
	name = service_name(import, socket, pair.accept);
	pair.service = find_service(import, socket, name);
	if (!pair.service) {
		if (import->errors.count == errors)
			import_error(import, EX_NOINPUT, file, 0, "its %s was not found", name);
		draft_none(draft_new(import, "", file, 0), "left out: its %s was not found", name);
		return;
	}
	texts_add(&import->arena, &import->units->used, pair.service->file);
	take_pair(import, &pair);
}

/* A folder may be reached by two names. */
static bool is_used(const struct units *units, const char *file)
{
	struct stat one, other;

	for (size_t i = 0; i < units->used.count; i++)
		if (stat(file, &one) == 0 && stat(units->used.items[i], &other) == 0 &&
		    one.st_dev == other.st_dev && one.st_ino == other.st_ino)
			return true;
	return false;
}

/* Its socket has its name; that of web@.service is web.socket. */
static void take_service(struct import *import, const char *file)
{
	struct arena *arena = &import->arena;
	const char *name = base_name(file), *folder = import_folder(import, file);
	char *stem = arena_cut(arena, name, strlen(name) - strlen(".service"));
	const struct unit *socket;

	if (is_used(import->units, file))
		return;
	if (ends_with(name, "@.service"))
		stem[strlen(stem) - 1] = '\0';
	name = arena_format(arena, "%s.socket", stem);
	socket = unit_find(import, folder, name);
	if (socket)
		take_socket(import, socket->file);
	else
		import_error(import, EX_NOINPUT, file, 0,
			     "no %s beside it: give the .socket unit that starts it", name);
}

void import_unit(struct import *import, const char *file)
{
	if (!import->units)
		import->units = arena_take(&import->arena, sizeof(*import->units));
	if (ends_with(file, ".socket") || ends_with(file, ".service"))
		texts_add(&import->arena, &import->units->files, file);
	else
		import_error(import, EX_DATAERR, file, 0,
			     "a unit's name ends in .socket or .service");
}

/* Its socket may have been one that preforkd does not have. */
static void look_at_pair(const struct unit_pair *pair)
{
	if (draft_values(pair->draft, "listen") || pair->draft->none)
		return;
	pair->draft->note_count = pair->socket_notes;
	draft_none(pair->draft, "nothing is left of it to listen on");
}

void import_unit_finish(struct import *import)
{
	const struct units *units = import->units;

	for (size_t i = 0; units && i < units->files.count; i++)
		if (ends_with(units->files.items[i], ".socket"))
			take_socket(import, units->files.items[i]);
	for (size_t i = 0; units && i < units->files.count; i++)
		if (ends_with(units->files.items[i], ".service"))
			take_service(import, units->files.items[i]);
	for (size_t i = 0; units && i < units->count; i++)
		if (units->pairs[i].first)
			look_at_pair(&units->pairs[i]);
}
