/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/mem.h"
#include "board/layout.h"
#include "config/build.h"
#include "config/schema.h"
#include "config/types.h"

/* `FILE:LINE: service "x": KEY`, or what of it there is. */
static char *place(const struct entries *entries, const struct entry *entry)
{
	char *where =
		entry->line ? mem_format("%s:%d", entry->file, entry->line) : mem_text(entry->file);
	const char *option = entry->scope == ENTRY_OPTION ? "options: " : "";
	char *text;

	if (entry->scope == ENTRY_GLOBAL)
		text = mem_format("%s: %s", where, entry->key);
	else
		text = mem_format("%s: service \"%s\": %s%s", where,
				  entries->services[entry->service].name, option, entry->key);
	free(where);
	return text;
}

void build_error(struct build *b, const struct entry *entry, const char *format, ...)
{
	char text[ERROR_TEXT_MAX];
	char *where = place(b->entries, entry);
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	error_list_add(b->errors, EX_CONFIG, "%s: %s", where, text);
	free(where);
}

static void *field_of(const struct key *key, struct service_config *service, struct config *config)
{
	return key->scope == KEY_MASTER ? (char *)config + key->offset
					: (char *)service + key->offset;
}

static void clear_list(struct text_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct text_list){0};
}

static void set_fallback(const struct key *key, void *field)
{
	char why[WHY_MAX];

	if (key->fallback)
		key->type->parse(key, key->fallback, field, why);
	else if (key->type == &type_choice)
		*(unsigned *)field = UINT_MAX;
}

/* One `key = value`, without the values that are wrong. */
static void assign(const struct key *key, const struct entry *entry, void *field)
{
	char why[WHY_MAX];

	if (key->type->is_list)
		clear_list(field);
	for (size_t i = 0; i < entry->count; i++)
		key->type->parse(key, entry->values[i], field, why);
}

static void report_value(struct build *b, const struct entry *entry, size_t bad, const char *why)
{
	const char *value = entry->values[bad];

	/* What follows is what matters. */
	build_error(b, entry, "\"%.300s%s\" is not right here; expected %s", value,
		    strlen(value) > 300 ? "..." : "", why);
}

static void report_unknown(struct build *b, const struct entry *entry)
{
	const struct key *guess = schema_guess(entry->key);

	if (guess)
		build_error(b, entry, "there is no such key; did you mean \"%s\"?", guess->name);
	else
		build_error(b, entry, "there is no such key; preforkd.conf(5) lists them");
}

/* The key of an entry, if it may stand where it stands. */
static const struct key *key_of(struct build *b, const struct entry *entry)
{
	const struct key *key = schema_find(entry->key);

	if (!key)
		report_unknown(b, entry);
	else if (entry->scope == ENTRY_GLOBAL && key->scope == KEY_SERVICE)
		build_error(b, entry, "belongs into a service");
	else if (entry->scope == ENTRY_SERVICE && key->scope == KEY_MASTER)
		build_error(b, entry, "belongs outside of the services: it is the daemon's own");
	else
		return key;
	return NULL;
}

static bool same_key(const struct entry *a, const struct entry *b)
{
	return a->scope == b->scope && strcmp(a->key, b->key) == 0 &&
	       (a->scope == ENTRY_GLOBAL || a->service == b->service) &&
	       strcmp(a->file, b->file) == 0;
}

static void find_repeated(struct build *b)
{
	const struct entries *e = b->entries;

	for (size_t i = 0; i < e->count; i++) {
		for (size_t j = 0; j < i; j++) {
			if (!same_key(&e->items[i], &e->items[j]))
				continue;
			if (e->items[j].line)
				build_error(b, &e->items[i], "given twice; first in line %d",
					    e->items[j].line);
			else
				build_error(b, &e->items[i], "given twice");
			break;
		}
	}
}

/* Every entry is looked at once here, so that each mistake is told once, however many services a
 * default reaches. */
static void find_mistakes(struct build *b)
{
	struct service_config scratch = {0};
	struct config scratch_config = {0};

	for (size_t i = 0; i < b->entries->count; i++) {
		const struct entry *entry = &b->entries->items[i];
		const struct key *key;
		char why[WHY_MAX];

		if (entry->scope == ENTRY_OPTION)
			continue;
		key = key_of(b, entry);
		for (size_t v = 0; key && v < entry->count; v++)
			if (key->type->parse(key, entry->values[v],
					     field_of(key, &scratch, &scratch_config), why) < 0)
				report_value(b, entry, v, why);
	}
	build_free_service(&scratch);
}

static bool name_is_valid(const char *name)
{
	size_t n =
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");

	return n > 0 && n < BOARD_NAME_MAX && !name[n];
}

/* What is wrong with an option, or NULL. */
static const char *option_mistake(const struct entry *entry)
{
	if (!name_is_valid(entry->key))
		return "an option's name is made of A-Z a-z 0-9 _ . -";
	return entry->count == 1 ? NULL : "an option has one value, not a list";
}

static void add_option(struct service_config *service, const struct entry *entry)
{
	service->options =
		mem_grow(service->options, service->option_count + 1, sizeof(*service->options));
	service->options[service->option_count++] = (struct preforkd_option){
		.key = mem_text(entry->key),
		.value = mem_text(entry->count ? entry->values[0] : ""),
	};
}

static void apply(struct build *b, struct config *config, struct service_config *service,
		  size_t index, enum entry_scope scope)
{
	for (size_t i = 0; i < b->entries->count; i++) {
		const struct entry *entry = &b->entries->items[i];
		const struct key *key = schema_find(entry->key);

		if (entry->scope != scope || (scope != ENTRY_GLOBAL && entry->service != index))
			continue;
		if (scope == ENTRY_OPTION && option_mistake(entry) == NULL)
			add_option(service, entry);
		else if (scope == ENTRY_OPTION)
			continue;
		else if (key && (scope == ENTRY_SERVICE || key->scope != KEY_SERVICE))
			assign(key, entry, field_of(key, service, config));
	}
}

static void fill_service(struct build *b, struct config *config, size_t index,
			 struct service_config *service)
{
	*service = (struct service_config){
		.name = mem_text(b->entries->services[index].name),
		.entries = b->entries,
		.section = &b->entries->services[index],
		.who = {.socket_uid = (uid_t)-1,
			.socket_gid = (gid_t)-1,
			.login = mem_text(""),
			.home = mem_text(""),
			.shell = mem_text("")},
	};
	for (size_t i = 0; i < schema_count; i++)
		if (schema[i].scope != KEY_MASTER)
			set_fallback(&schema[i], field_of(&schema[i], service, config));
	apply(b, config, service, index, ENTRY_GLOBAL);
	apply(b, config, service, index, ENTRY_SERVICE);
	apply(b, config, service, index, ENTRY_OPTION);
}

static void check_names(struct build *b)
{
	const struct entries *e = b->entries;

	for (size_t i = 0; i < e->service_count; i++) {
		const struct entry_service *s = &e->services[i];

		if (!name_is_valid(s->name))
			error_list_add(
				b->errors, EX_CONFIG,
				"%s:%d: service \"%s\": a name is 1 to 63 of A-Z a-z 0-9 _ . -",
				s->file, s->line, s->name);
		for (size_t j = 0; j < i; j++) {
			if (strcmp(e->services[j].name, s->name) != 0)
				continue;
			error_list_add(b->errors, EX_CONFIG,
				       "%s:%d: service \"%s\": given twice; first at %s:%d",
				       s->file, s->line, s->name, e->services[j].file,
				       e->services[j].line);
			break;
		}
	}
	for (size_t i = 0; i < e->count; i++)
		if (e->items[i].scope == ENTRY_OPTION && option_mistake(&e->items[i]))
			build_error(b, &e->items[i], "%s", option_mistake(&e->items[i]));
}

struct config *config_build(struct entries *entries, struct error_list *errors)
{
	struct build b = {.entries = entries, .errors = errors};
	struct config *config = mem_new(1, sizeof(*config));
	struct service_config scratch = {0};

	config->entries = entries;
	check_names(&b);
	find_repeated(&b);
	find_mistakes(&b);
	for (size_t i = 0; i < schema_count; i++)
		if (schema[i].scope == KEY_MASTER)
			set_fallback(&schema[i], (char *)config + schema[i].offset);
	config->services = mem_new(entries->service_count, sizeof(*config->services));
	for (size_t i = 0; i < entries->service_count; i++) {
		struct service_config *service = &config->services[config->service_count];

		fill_service(&b, config, i, service);
		if (service->enabled)
			config->service_count++;
		else
			build_free_service(service);
	}
	apply(&b, config, &scratch, 0, ENTRY_GLOBAL); /* the daemon's own keys */
	build_free_service(&scratch);
	check_config(config, errors);
	return config;
}

void build_free_service(struct service_config *service)
{
	for (size_t i = 0; service->addresses && i < service->listen.count; i++)
		free(service->addresses[i].endpoints);
	free(service->addresses);
	for (size_t i = 0; i < schema_count; i++) {
		void *field = (char *)service + schema[i].offset;

		if (schema[i].scope == KEY_MASTER)
			continue;
		if (schema[i].type->is_list)
			clear_list(field);
		else if (schema[i].type->is_text)
			free(*(char **)field);
	}
	for (size_t i = 0; i < service->option_count; i++) {
		free((void *)(uintptr_t)service->options[i].key);
		free((void *)(uintptr_t)service->options[i].value);
	}
	free(service->options);
	free(service->allow_rules);
	free(service->deny_rules);
	free(service->proxy_rules);
	free(service->who.groups);
	free(service->who.login);
	free(service->who.home);
	free(service->who.shell);
	free(service->name);
	*service = (struct service_config){0};
}

void config_free(struct config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->service_count; i++)
		build_free_service(&config->services[i]);
	free(config->services);
	entries_free(config->entries);
	free(config);
}
