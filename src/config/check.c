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
#include "config/variables.h"

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

/* ---- what serves ---- */

static const char *const kind_keys[] = {
	[HANDLER_BUILTIN] = "builtin",
	[HANDLER_MODULE] = "module",
	[HANDLER_EXEC] = "exec",
	[HANDLER_ACCEPTOR] = "acceptor",
};

const char *config_handler_key(enum handler_kind kind)
{
	return kind == HANDLER_NONE ? "builtin" : kind_keys[kind];
}

const struct text_list *config_program(const struct service_config *service)
{
	switch (service->kind) {
	case HANDLER_EXEC:
		return &service->exec;
	case HANDLER_ACCEPTOR:
		return &service->acceptor;
	default:
		return NULL;
	}
}

static bool has_kind(const struct service_config *service, enum handler_kind kind)
{
	switch (kind) {
	case HANDLER_BUILTIN:
		return *service->builtin != '\0';
	case HANDLER_MODULE:
		return *service->module != '\0';
	case HANDLER_EXEC:
		return service->exec.count > 0;
	default:
		return service->acceptor.count > 0;
	}
}

static void check_handler(struct check *c, struct service_config *service)
{
	for (enum handler_kind kind = HANDLER_BUILTIN; kind <= HANDLER_ACCEPTOR; kind++) {
		if (!has_kind(service, kind))
			continue;
		if (service->kind == HANDLER_NONE)
			service->kind = kind;
		else
			wrong(c, service, config_handler_key(kind),
			      "a service has one of builtin, module, exec and acceptor");
	}
	if (service->kind == HANDLER_NONE && !service->section->cut)
		wrong(c, service, "builtin",
		      "missing; a service needs one of builtin, module, exec and acceptor");
}

const struct entry *check_given(const struct service_config *service, const char *key)
{
	const struct entries *e = service->entries;

	for (size_t i = 0; i < e->count; i++)
		if (e->items[i].scope == ENTRY_SERVICE && strcmp(e->items[i].key, key) == 0 &&
		    &e->services[e->items[i].service] == service->section)
			return &e->items[i];
	return NULL;
}

#define OF(kind) (1U << (HANDLER_##kind))
#define SEEN     (OF(BUILTIN) | OF(MODULE) | OF(EXEC))

/* Keys that are not of every kind; as a default of all they reach those they are for. */
static const struct {
	const char *key;
	unsigned kinds;
	const char *why;
} kind_limits[] = {
	{"workers_max", SEEN, "an acceptor has as many copies as workers says"},
	{"spare", SEEN, "whether an acceptor's copies are idle is not seen"},
	{"shrink_after", SEEN, "whether an acceptor's copies are idle is not seen"},
	{"recycle_after", SEEN, "an acceptor's connections cannot be counted"},
	{"recycle_memory", OF(BUILTIN) | OF(MODULE),
	 "a program has its memory in a process of its own; see limit_as"},
	{"idle_timeout", OF(BUILTIN) | OF(MODULE),
	 "a program has the real socket and timeouts of its own; see connection_timeout"},
	{"connection_timeout", SEEN, "an acceptor's connections are not seen"},
	{"log_connections", SEEN, "an acceptor's connections are not seen"},
	{"allow", SEEN, "an acceptor's clients are not seen; a firewall or its program can refuse"},
	{"deny", SEEN, "an acceptor's clients are not seen; a firewall or its program can refuse"},
	{"per_source", SEEN, "an acceptor's clients are not seen"},
	{"rate", SEEN, "an acceptor's clients are not seen"},
	{"rate_per_source", SEEN, "an acceptor's clients are not seen"},
	{"queue_timeout", SEEN, "an acceptor's clients are not seen"},
	{"busy_message", SEEN, "an acceptor's clients are not seen"},
	{"proxy_protocol", SEEN,
	 "an acceptor's clients are not seen; its program reads the header"},
	{"proxy_from", SEEN, "an acceptor's clients are not seen; its program reads the header"},
	{"environment", OF(EXEC) | OF(ACCEPTOR), "it is for exec and acceptor"},
	{"prestart", OF(EXEC), "it is for exec"},
	{"stderr", OF(EXEC), "it is for exec"},
	{"pass_as", OF(ACCEPTOR), "it is for acceptor"},
	{"stop_signal", OF(ACCEPTOR), "it is for acceptor"},
};

bool config_key_applies(const struct service_config *service, const char *key)
{
	for (size_t i = 0; i < sizeof(kind_limits) / sizeof(kind_limits[0]); i++)
		if (strcmp(kind_limits[i].key, key) == 0)
			return kind_limits[i].kinds & 1U << service->kind;
	return true;
}

/* An empty list is how a service takes a default of all back. */
static bool is_said(const struct service_config *service, const char *key)
{
	const struct entry *given = check_given(service, key);

	return given && given->count > 0;
}

static void check_keys_of_kind(struct check *c, const struct service_config *service)
{
	char text[200];

	for (size_t i = 0; i < sizeof(kind_limits) / sizeof(kind_limits[0]); i++) {
		if (service->kind == HANDLER_NONE ||
		    config_key_applies(service, kind_limits[i].key) ||
		    !is_said(service, kind_limits[i].key))
			continue;
		snprintf(text, sizeof(text), "not for a service with %s: %s",
			 config_handler_key(service->kind), kind_limits[i].why);
		wrong(c, service, kind_limits[i].key, text);
	}
}

/* ---- programs ---- */

static bool is_variable(const char *text)
{
	size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

	return n > 0 && text[n] == '=' && (*text < '0' || *text > '9');
}

static void check_environment(struct check *c, const struct service_config *service)
{
	struct error err;

	for (size_t i = 0; i < service->environment.count; i++) {
		const char *variable = service->environment.items[i];

		if (!is_variable(variable))
			error_set(&err, EX_CONFIG,
				  "\"%.300s\" is not right here; expected NAME=VALUE", variable);
		else if (config_variable_is_ours(variable))
			error_set(&err, EX_CONFIG, "\"%.300s\": %.*s is set by preforkd", variable,
				  (int)strcspn(variable, "="), variable);
		else
			continue;
		wrong(c, service, "environment", err.text);
	}
}

static void check_options(struct check *c, const struct service_config *service)
{
	struct error err;

	for (size_t i = 0; i < service->option_count; i++) {
		const struct preforkd_option *o = &service->options[i];
		bool ready = service->kind == HANDLER_ACCEPTOR && strcmp(o->key, "ready") == 0;

		if (ready && (strcmp(o->value, "notify") == 0 || strcmp(o->value, "alive") == 0))
			continue;
		if (ready)
			error_set(&err, EX_CONFIG, "ready: \"%.300s\": one of notify, alive",
				  o->value);
		else
			error_set(&err, EX_CONFIG, "\"%s\": %s", o->key,
				  service->kind == HANDLER_ACCEPTOR
					  ? "an acceptor has the option ready"
					  : "exec has no options");
		wrong(c, service, "options", err.text);
	}
}

static bool serves_datagrams(const struct service_config *service)
{
	for (size_t i = 0; i < service->listen.count; i++)
		if (service->addresses[i].valid && service->addresses[i].address.type == SOCK_DGRAM)
			return true;
	return false;
}

static void check_program(struct check *c, const struct service_config *service)
{
	const struct text_list *program = config_program(service);
	struct error err;

	if (!program)
		return;
	if (*program->items[0] != '/') {
		error_set(&err, EX_CONFIG,
			  "\"%.300s\": the program must be an absolute path (there is no shell)",
			  program->items[0]);
		wrong(c, service, config_handler_key(service->kind), err.text);
	}
	check_environment(c, service);
	check_options(c, service);
	if (service->sandbox == 2)
		wrong(c, service, "sandbox", "strict is for built-ins and modules; basic or off");
	if (service->prestart && check_given(service, "prestart") && serves_datagrams(service))
		wrong(c, service, "prestart", "datagrams are not served that way");
	if (service->kind == HANDLER_ACCEPTOR && service->pass_as == PASS_AS_STDIN &&
	    service->listen.count > 1)
		wrong(c, service, "pass_as", "stdin is one socket: one address in listen");
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

/* Defaults of all reach what they are not for. */
static void settle_defaults(struct service_config *service)
{
	if (!config_key_applies(service, "idle_timeout"))
		service->idle_timeout = 0;
	if (!config_key_applies(service, "connection_timeout"))
		service->connection_timeout = 0;
	if (!config_key_applies(service, "recycle_after"))
		service->recycle_after = 0;
	if (!config_key_applies(service, "recycle_memory"))
		service->recycle_memory = 0;
	if (!config_key_applies(service, "proxy_protocol"))
		service->proxy_protocol = PROXY_OFF;
	if (!config_key_applies(service, "log_connections"))
		service->log_connections = false;
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

/* It could end in the middle of somebody's work. */
static void check_exit_idle(struct check *c, const struct config *config,
			    const struct service_config *service)
{
	if (config->exit_idle && service->kind == HANDLER_ACCEPTOR)
		error_list_add(c->errors, EX_CONFIG,
			       "%s: not with an acceptor (service \"%s\"), whose clients are not "
			       "seen",
			       config_place_of_key(config, "exit_idle"), service->name);
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
		settle_defaults(service);
		check_keys_of_kind(&c, service);
		check_program(&c, service);
		check_pool(service, errors);
		check_access(service, errors);
		check_exit_idle(&c, config, service);
	}
	if (config->service_count == 0 && errors->count == 0)
		error_list_add(errors, EX_CONFIG, "no service is configured and enabled");
}
