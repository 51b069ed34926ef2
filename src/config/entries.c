/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <stdlib.h>

#include "base/mem.h"
#include "config/entries.h"

struct entries *entries_new(void)
{
	return mem_new(1, sizeof(struct entries));
}

static void free_entry(struct entry *entry)
{
	for (size_t i = 0; i < entry->count; i++)
		free(entry->values[i]);
	free(entry->values);
	free(entry->key);
	free(entry->file);
}

void entries_truncate(struct entries *entries, size_t count, size_t service_count)
{
	while (entries->count > count)
		free_entry(&entries->items[--entries->count]);
	while (entries->service_count > service_count) {
		struct entry_service *service = &entries->services[--entries->service_count];

		free(service->name);
		free(service->file);
	}
}

void entries_free(struct entries *entries)
{
	if (!entries)
		return;
	entries_truncate(entries, 0, 0);
	free(entries->items);
	free(entries->services);
	free(entries);
}

size_t entries_add_service(struct entries *entries, const char *name, const char *file, int line)
{
	size_t n = entries->service_count++;

	entries->services = mem_grow(entries->services, n + 1, sizeof(*entries->services));
	entries->services[n] = (struct entry_service){
		.name = mem_text(name), .file = mem_text(file), .line = line};
	return n;
}

struct entry *entries_add(struct entries *entries, enum entry_scope scope, const char *file,
			  int line, const char *key)
{
	size_t n = entries->count++;

	entries->items = mem_grow(entries->items, n + 1, sizeof(*entries->items));
	entries->items[n] = (struct entry){
		.scope = scope,
		.service = entries->service_count ? entries->service_count - 1 : 0,
		.file = mem_text(file),
		.line = line,
		.key = mem_text(key),
	};
	return &entries->items[n];
}

void entry_add_value(struct entry *entry, const char *value)
{
	entry->values = mem_grow(entry->values, entry->count + 1, sizeof(*entry->values));
	entry->values[entry->count++] = mem_text(value);
}

struct entries *entries_copy(const struct entries *from)
{
	struct entries *to = entries_new();

	for (size_t i = 0; i < from->service_count; i++)
		entries_add_service(to, from->services[i].name, from->services[i].file,
				    from->services[i].line);
	for (size_t i = 0; i < from->count; i++) {
		const struct entry *e = &from->items[i];
		struct entry *copy = entries_add(to, e->scope, e->file, e->line, e->key);

		copy->service = e->service;
		for (size_t v = 0; v < e->count; v++)
			entry_add_value(copy, e->values[v]);
	}
	return to;
}
