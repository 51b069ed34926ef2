/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/mem.h"
#include "board/layout.h"
#include "config/build.h"
#include "config/schema.h"

/* Where a key was written in the service, else where the service was. */
const char *config_place(const struct service_config *service, const char *key)
{
	static char text[4096 + 256];
	const struct entries *e = service->entries;
	const char *file = service->section->file;
	int line = service->section->line;

	for (size_t i = 0; i < e->count; i++) {
		const struct entry *entry = &e->items[i];

		if (entry->scope != ENTRY_SERVICE || strcmp(entry->key, key) != 0 ||
		    &e->services[entry->service] != service->section)
			continue;
		file = entry->file;
		line = entry->line;
	}
	if (line)
		snprintf(text, sizeof(text), "%s:%d: service \"%s\": %s", file, line, service->name,
			 key);
	else
		snprintf(text, sizeof(text), "%s: service \"%s\": %s", file, service->name, key);
	return text;
}

const char *config_place_of_key(const struct config *config, const char *key)
{
	static char text[4096 + 256];
	const struct entries *e = config->entries;

	snprintf(text, sizeof(text), "%s", key);
	for (size_t i = 0; i < e->count; i++) {
		const struct entry *entry = &e->items[i];

		if (entry->scope != ENTRY_GLOBAL || strcmp(entry->key, key) != 0)
			continue;
		if (entry->line)
			snprintf(text, sizeof(text), "%s:%d: %s", entry->file, entry->line, key);
		else
			snprintf(text, sizeof(text), "%s: %s", entry->file, key);
	}
	return text;
}

struct check {
	struct error_list *errors;
};

static void wrong(struct check *c, const struct service_config *service, const char *key,
		  const char *text)
{
	error_list_add(c->errors, EX_CONFIG, "%s: %s", config_place(service, key), text);
}

static void check_handler(struct check *c, const struct service_config *service)
{
	bool builtin = *service->builtin != '\0', module = *service->module != '\0';

	if (builtin && module)
		wrong(c, service, "module", "a service has one of builtin and module, not both");
	else if (!builtin && !module && !service->section->cut)
		wrong(c, service, "builtin", "missing; a service needs one of builtin and module");
}

static bool given_before(const struct service_config *service, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (strcmp(service->listen.items[i], service->listen.items[j]) == 0)
			return true;
	return false;
}

static void check_address(struct check *c, const struct service_config *service, size_t i)
{
	struct listen_on *on = &service->addresses[i];
	struct error err = {0};

	if (address_parse(service->listen.items[i], &on->address, &err) < 0)
		wrong(c, service, "listen", err.text);
	else
		on->valid = true;
	if (!given_before(service, i))
		return;
	on->valid = false; /* once is enough */
	error_set(&err, EX_CONFIG, "\"%.300s\" given twice", service->listen.items[i]);
	wrong(c, service, "listen", err.text);
}

static void check_listen(struct check *c, struct service_config *service)
{
	service->addresses = mem_new(service->listen.count, sizeof(*service->addresses));
	if (service->listen.count == 0 && !service->section->cut)
		wrong(c, service, "listen",
		      "missing; an address, as in listen = {\"tcp://127.0.0.1:7007\"}");
	for (size_t i = 0; i < service->listen.count; i++)
		check_address(c, service, i);
}

static void check_privileges(struct check *c, const struct service_config *service)
{
	if (*service->chroot && geteuid() != 0)
		error_list_add(c->errors, EX_NOPERM, "%s: only root may change the root directory",
			       config_place(service, "chroot"));
}

static void settle_sandbox(struct service_config *service)
{
	if (service->sandbox != UINT_MAX)
		return;
#ifdef HAVE_SECCOMP
	service->sandbox = *service->builtin ? 2 : 1;
#else
	service->sandbox = 1;
#endif
}

void check_config(struct config *config, struct error_list *errors)
{
	struct check c = {.errors = errors};

	for (size_t i = 0; i < config->service_count; i++) {
		struct service_config *service = &config->services[i];

		check_handler(&c, service);
		check_listen(&c, service);
		check_privileges(&c, service);
		settle_sandbox(service);
	}
	if (config->service_count == 0 && errors->count == 0)
		error_list_add(errors, EX_CONFIG, "no service is configured and enabled");
}
