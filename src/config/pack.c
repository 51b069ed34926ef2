/* SPDX-License-Identifier: ISC */
/*
 * A load of the configuration, as bytes from a child to the master: the same program on the same
 * machine, so structs travel as they are. The entries are built anew on the other side; only what
 * had to be looked up is not.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/config.h"

/* ---- writing ---- */

static void put(FILE *out, const void *data, size_t size)
{
	if (size > 0)
		fwrite(data, 1, size, out);
}

static void put_text(FILE *out, const char *text)
{
	size_t size = strlen(text) + 1;

	put(out, &size, sizeof(size));
	put(out, text, size);
}

static void put_entries(FILE *out, const struct entries *entries)
{
	put(out, &entries->service_count, sizeof(size_t));
	for (size_t i = 0; i < entries->service_count; i++) {
		put_text(out, entries->services[i].name);
		put_text(out, entries->services[i].file);
		put(out, &entries->services[i].line, sizeof(int));
	}
	put(out, &entries->count, sizeof(size_t));
	for (size_t i = 0; i < entries->count; i++) {
		const struct entry *e = &entries->items[i];

		put(out, &e->scope, sizeof(e->scope));
		put(out, &e->service, sizeof(e->service));
		put_text(out, e->file);
		put(out, &e->line, sizeof(e->line));
		put_text(out, e->key);
		put(out, &e->count, sizeof(e->count));
		for (size_t v = 0; v < e->count; v++)
			put_text(out, e->values[v]);
	}
}

static void put_rules(FILE *out, const struct rules *rules)
{
	size_t size = rules_size(rules);

	put(out, &size, sizeof(size));
	put(out, rules, size);
}

static void put_lookups(FILE *out, const struct service_config *s)
{
	put(out, &s->who, sizeof(s->who));
	put(out, s->who.groups, s->who.group_count * sizeof(gid_t));
	put_text(out, s->who.login);
	put_text(out, s->who.home);
	put_text(out, s->who.shell);
	put_rules(out, s->allow_rules);
	put_rules(out, s->deny_rules);
	put_rules(out, s->proxy_rules);
	for (size_t i = 0; i < s->listen.count; i++) {
		put(out, &s->addresses[i].endpoint_count, sizeof(size_t));
		put(out, s->addresses[i].endpoints,
		    s->addresses[i].endpoint_count * sizeof(struct endpoint));
	}
}

char *config_pack(const struct config *config, size_t *size)
{
	char *bytes = NULL;
	FILE *out = open_memstream(&bytes, size);

	if (!out)
		return NULL;
	put_entries(out, config->entries);
	for (size_t i = 0; i < config->service_count; i++)
		put_lookups(out, &config->services[i]);
	if (fclose(out) != 0) {
		free(bytes);
		return NULL;
	}
	return bytes;
}

/* ---- reading ---- */

struct unpack {
	const char *p, *end;
	bool broken;
};

static void get(struct unpack *u, void *data, size_t size)
{
	if ((size_t)(u->end - u->p) < size) {
		u->broken = true;
		memset(data, 0, size);
		return;
	}
	memcpy(data, u->p, size);
	u->p += size;
}

static size_t get_count(struct unpack *u)
{
	size_t count;

	get(u, &count, sizeof(count));
	if (count > (size_t)(u->end - u->p)) {
		u->broken = true;
		return 0;
	}
	return count;
}

static const char *get_text(struct unpack *u)
{
	size_t size = get_count(u);
	const char *text = u->p;

	if (size == 0 || text[size - 1] != '\0') {
		u->broken = true;
		return "";
	}
	u->p += size;
	return text;
}

static void get_entry(struct unpack *u, struct entries *entries)
{
	enum entry_scope scope;
	size_t service, count;
	const char *file;
	struct entry *e;
	int line;

	get(u, &scope, sizeof(scope));
	get(u, &service, sizeof(service));
	file = get_text(u);
	get(u, &line, sizeof(line));
	e = entries_add(entries, scope, file, line, get_text(u));
	if (scope != ENTRY_GLOBAL && service >= entries->service_count)
		u->broken = true;
	else
		e->service = service;
	count = get_count(u);
	for (size_t i = 0; i < count && !u->broken; i++)
		entry_add_value(e, get_text(u));
}

static void get_entries(struct unpack *u, struct entries *entries)
{
	size_t count = get_count(u);

	for (size_t i = 0; i < count && !u->broken; i++) {
		const char *name = get_text(u), *file = get_text(u);
		int line;

		get(u, &line, sizeof(line));
		entries_add_service(entries, name, file, line);
	}
	count = get_count(u);
	for (size_t i = 0; i < count && !u->broken; i++)
		get_entry(u, entries);
}

static void *get_array(struct unpack *u, size_t count, size_t size)
{
	void *array;

	if (count > (size_t)(u->end - u->p) / size) {
		u->broken = true;
		return NULL;
	}
	array = mem_new(count, size);
	get(u, array, count * size);
	return array;
}

static struct rules *get_rules(struct unpack *u)
{
	size_t size = get_count(u);
	struct rules *rules = size ? rules_copy(u->p, size) : NULL;

	if (size && !rules)
		u->broken = true;
	u->p += size;
	return rules;
}

/* A byte that is neither true nor false cannot even be looked at as a bool. */
static bool is_bool(const void *byte)
{
	return *(const unsigned char *)byte <= 1;
}

static void get_lookups(struct unpack *u, struct service_config *s)
{
	free(s->who.login);
	free(s->who.home);
	free(s->who.shell);
	get(u, &s->who, sizeof(s->who));
	if (!is_bool(&s->who.change_user) || !is_bool(&s->who.change_group))
		u->broken = true;
	s->who.groups = get_array(u, s->who.group_count, sizeof(gid_t));
	s->who.login = mem_text(get_text(u));
	s->who.home = mem_text(get_text(u));
	s->who.shell = mem_text(get_text(u));
	s->allow_rules = get_rules(u);
	s->deny_rules = get_rules(u);
	s->proxy_rules = get_rules(u);
	for (size_t i = 0; i < s->listen.count && !u->broken; i++) {
		size_t count = get_count(u);

		s->addresses[i].endpoints = get_array(u, count, sizeof(struct endpoint));
		s->addresses[i].endpoint_count = u->broken ? 0 : count;
	}
}

struct config *config_unpack(const char *bytes, size_t size, struct error_list *errors)
{
	struct unpack u = {.p = bytes, .end = bytes + size};
	struct entries *entries = entries_new();
	struct config *config;

	get_entries(&u, entries);
	if (u.broken) {
		entries_free(entries);
		return NULL;
	}
	config = config_build(entries, errors);
	for (size_t i = 0; i < config->service_count && errors->count == 0 && !u.broken; i++)
		get_lookups(&u, &config->services[i]);
	if (errors->count > 0 || u.broken) {
		config_free(config);
		return NULL;
	}
	return config;
}
