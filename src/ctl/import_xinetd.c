/* SPDX-License-Identifier: ISC */
/* A service of xinetd: where it listens and what serves. */
#include <config.h>

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>
#include <unistd.h>

#include "ctl/import_xinetd.h"

#define SOCAT "/usr/bin/socat"

/* ---- attributes ---- */

static const struct xattribute *find(const struct xentry *entry, const char *name)
{
	for (size_t i = 0; entry && i < entry->count; i++)
		if (strcmp(entry->attributes[i].name, name) == 0)
			return &entry->attributes[i];
	return NULL;
}

/* Two names of one. */
static const struct xattribute *find_either(const struct xentry *entry, const char *name)
{
	const struct xattribute *found = find(entry, name);

	return found || strcmp(name, "bind") != 0 ? found : find(entry, "interface");
}

const struct xattribute *xservice_find(const struct xservice *service, const char *name)
{
	const struct xattribute *found = find_either(service->entry, name);

	return found ? found : find_either(service->xinetd->defaults, name);
}

const char *xservice_value(const struct xservice *service, const char *name)
{
	const struct xattribute *attribute = xservice_find(service, name);

	return attribute && attribute->values.count ? attribute->values.items[0] : NULL;
}

bool xservice_has(const struct xservice *service, const char *name, const char *value)
{
	const struct xattribute *attribute = xservice_find(service, name);

	return attribute && texts_have(&attribute->values, value);
}

static struct texts without(struct arena *arena, const struct texts *texts, const char *text)
{
	struct texts rest = {0};

	for (size_t i = 0; i < texts->count; i++)
		if (strcmp(texts->items[i], text) != 0)
			texts_add(arena, &rest, texts->items[i]);
	return rest;
}

/* Of the defaults `=` adds, too. */
static void collect(struct arena *arena, const struct xentry *entry, const char *name,
		    bool defaults, struct texts *set)
{
	for (size_t i = 0; entry && i < entry->count; i++) {
		const struct xattribute *attribute = &entry->attributes[i];

		if (strcmp(attribute->name, name) != 0)
			continue;
		if (attribute->op == '=' && !defaults)
			*set = (struct texts){0};
		for (size_t v = 0; v < attribute->values.count; v++) {
			*set = without(arena, set, attribute->values.items[v]);
			if (attribute->op != '-')
				texts_add(arena, set, attribute->values.items[v]);
		}
	}
}

struct texts xservice_set(const struct xservice *service, const char *name)
{
	struct texts set = {0};

	collect(&service->import->arena, service->xinetd->defaults, name, true, &set);
	collect(&service->import->arena, service->entry, name, false, &set);
	return set;
}

/* ---- what cannot be served ---- */

static bool is_internal(const struct xservice *service)
{
	return xservice_has(service, "type", "INTERNAL") ||
	       xservice_has(service, "type", "SPECIAL");
}

static const char *socket_type(const struct xservice *service)
{
	const char *type = xservice_value(service, "socket_type");
	const char *protocol = xservice_value(service, "protocol");

	if (type || !protocol)
		return type;
	return strcmp(protocol, "udp") == 0 ? "dgram" : "stream";
}

static const char *protocol_of(const char *type)
{
	return strcmp(type, "dgram") == 0 ? "udp" : "tcp";
}

static bool has_equivalent(const struct xservice *service)
{
	struct draft *draft = service->draft;
	const char *type = socket_type(service), *protocol = xservice_value(service, "protocol");

	if (xservice_has(service, "type", "RPC"))
		draft_none(draft, "no equivalent: a service of Sun RPC, whose port is registered "
				  "with rpcbind; run the program by itself");
	else if (xservice_has(service, "type", "TCPMUX") ||
		 xservice_has(service, "type", "TCPMUXPLUS"))
		draft_none(draft, "no equivalent: a service of tcpmux (RFC 1078); give it a port "
				  "of its own");
	else if (xservice_has(service, "flags", "SENSOR"))
		draft_none(draft, "no equivalent: a sensor, which bars its clients from all "
				  "services");
	else if (type && strcmp(type, "stream") != 0 && strcmp(type, "dgram") != 0)
		draft_none(draft, "no equivalent: a socket of type %s", type);
	else if (type && protocol && strcmp(protocol, protocol_of(type)) != 0)
		draft_none(draft, "no equivalent: a socket of type %s and protocol %s", type,
			   protocol);
	return !draft->none;
}

/* Without these xinetd does not take the service either. */
static int check_needed(const struct xservice *service)
{
	const char *missing = NULL;

	if (!socket_type(service))
		missing = "socket_type";
	else if (!xservice_value(service, "wait"))
		missing = "wait";
	else if (is_internal(service))
		return 0;
	else if (!xservice_value(service, "server") && !xservice_find(service, "redirect"))
		missing = "server";
	else if (!xservice_value(service, "user"))
		missing = "user";
	if (!missing)
		return 0;
	import_error(service->import, EX_DATAERR, service->entry->file, service->entry->line,
		     "service %s: %s is missing", service->entry->name, missing);
	draft_none(service->draft, "left out, because it has no %s", missing);
	return -1;
}

/* ---- where it listens ---- */

static bool is_yes(const struct xservice *service, const char *name)
{
	const char *value = xservice_value(service, name);

	return value && strcasecmp(value, "yes") == 0;
}

static bool is_ipv4(const char *host)
{
	struct in_addr in;

	return inet_pton(AF_INET, host, &in) == 1;
}

static void set_listen(const struct xservice *service)
{
	bool udp = strcmp(socket_type(service), "dgram") == 0;
	const char *host = xservice_value(service, "bind");
	const char *port = xservice_value(service, "port"), *scheme = udp ? "udp" : "tcp";

	if (xservice_has(service, "flags", "IPv4"))
		scheme = udp ? "udp4" : "tcp4";
	else if (is_yes(service, "v6only") && !(host && is_ipv4(host)))
		scheme = udp ? "udp6" : "tcp6";
	draft_add(service->draft, "listen",
		  import_address(service->import, scheme, host ? host : "*",
				 port ? port : service->entry->name));
	service->draft->other = udp ? "udp" : "tcp";
}

/* ---- what serves ---- */

/* What another attribute goes before. */
static void note_unused(const struct xservice *service, const char *name, const char *why)
{
	const struct xattribute *attribute = xservice_find(service, name);

	if (attribute)
		draft_note(service->draft, why, "%s = %s", name,
			   texts_join(&service->import->arena, &attribute->values));
}

static void set_internal(const struct xservice *service)
{
	const char *name = service->entry->name;

	if (draft_builtin(service->draft, name, protocol_of(socket_type(service))))
		return;
	if (strcmp(name, "servers") == 0 || strcmp(name, "services") == 0)
		draft_none(service->draft, "no equivalent: preforkctl status shows what runs");
	else
		draft_none(service->draft, "no equivalent: the internal service %s", name);
}

static void set_redirect(const struct xservice *service, const struct xattribute *redirect)
{
	struct arena *arena = &service->import->arena;
	struct draft *draft = service->draft;
	const char *host, *port;

	if (redirect->values.count != 2) {
		draft_off(draft, "redirect has a host and a port");
		return;
	}
	host = redirect->values.items[0];
	port = redirect->values.items[1];
	draft_add(draft, "exec", SOCAT);
	draft_add(draft, "exec", "-");
	draft_add(draft, "exec",
		  arena_format(arena, strchr(host, ':') ? "TCP:[%s]:%s" : "TCP:%s:%s", host, port));
	draft_remark(draft, "exec", "redirect = %s %s", host, port);
}

/* xinetd puts the program's name in front, unless NAMEINARGS says that it is there. */
static void set_server(const struct xservice *service)
{
	struct arena *arena = &service->import->arena;
	const struct xattribute *arguments = xservice_find(service, "server_args");
	const char *libwrap = xservice_value(service, "libwrap");
	struct invocation inv = {
		.file = service->entry->file,
		.program = xservice_value(service, "server"),
		.wait = is_yes(service, "wait"),
		.datagrams = strcmp(socket_type(service), "dgram") == 0,
	};

	if (!xservice_has(service, "flags", "NAMEINARGS"))
		texts_add(arena, &inv.argv, inv.program);
	for (size_t i = 0; arguments && i < arguments->values.count; i++)
		texts_add(arena, &inv.argv, arguments->values.items[i]);
	if (!xservice_has(service, "flags", "NOLIBWRAP"))
		inv.wrapped = libwrap ? libwrap : inv.argv.count ? inv.argv.items[0] : inv.program;
	draft_program(service->draft, &inv);
}

static void set_handler(const struct xservice *service)
{
	const struct xattribute *redirect = xservice_find(service, "redirect");
	const char *why = is_internal(service) ? "without effect: an internal service"
					       : "without effect: redirect goes before it";

	if (is_internal(service))
		set_internal(service);
	else if (redirect)
		set_redirect(service, redirect);
	else
		set_server(service);
	if (!is_internal(service) && !redirect)
		return;
	note_unused(service, "server", why);
	note_unused(service, "server_args", why);
	if (is_internal(service))
		note_unused(service, "redirect", why);
}

/* ---- the service ---- */

static void look_if_disabled(const struct xservice *service)
{
	const char *id = xservice_value(service, "id");
	struct texts disabled = xservice_set(service, "disabled");
	struct texts enabled = xservice_set(service, "enabled");

	if (!id)
		id = service->entry->name;
	if (is_yes(service, "disable"))
		draft_off(service->draft, "disable = yes");
	if (xservice_has(service, "flags", "DISABLE"))
		draft_off(service->draft, "flags = DISABLE");
	if (texts_have(&disabled, id))
		draft_off(service->draft, "it is among those that the defaults have as disabled");
	if (enabled.count && !texts_have(&enabled, id))
		draft_off(service->draft,
			  "it is not among those that the defaults have as enabled");
}

void xservice_translate(struct xservice *service)
{
	const struct xentry *entry = service->entry;
	const char *id = xservice_value(service, "id"), *user = xservice_value(service, "user");

	service->draft =
		draft_new(service->import, id ? id : entry->name, entry->file, entry->line);
	if (!has_equivalent(service) || check_needed(service) < 0)
		return;
	look_if_disabled(service);
	set_listen(service);
	set_handler(service);
	if (service->draft->none)
		return;
	if (user)
		draft_user(service->draft, user, xservice_value(service, "group"));
	xservice_take_rest(service);
}

/* ---- all of them ---- */

void import_xinetd(struct import *import, const char *file, char *text)
{
	if (!import->xinetd)
		import->xinetd = arena_take(&import->arena, sizeof(*import->xinetd));
	xinetd_read(import, file, text, false);
}

/* A file of xinetd.d counts with the defaults of the xinetd.conf beside that folder. */
static void find_defaults(struct import *import)
{
	struct xinetd *x = import->xinetd;
	const char *folder, *path;
	char *text;

	if (x->defaults || x->count == 0)
		return;
	folder = import_folder(import, import_folder(import, x->entries[0]->file));
	path = arena_format(&import->arena, "%s/xinetd.conf", folder);
	if (access(path, R_OK) < 0 || !(text = import_read(import, path)))
		return;
	import->xinetd = arena_take(&import->arena, sizeof(*x));
	xinetd_read(import, path, text, true);
	x->defaults = import->xinetd->defaults;
	import->xinetd = x;
	if (x->defaults)
		texts_add(&import->arena, &import->files,
			  arena_format(&import->arena, "%s (its defaults)", path));
}

void import_xinetd_finish(struct import *import)
{
	if (!import->xinetd)
		return;
	find_defaults(import);
	for (size_t i = 0; i < import->xinetd->count; i++) {
		struct xservice service = {
			.import = import,
			.xinetd = import->xinetd,
			.entry = import->xinetd->entries[i],
		};

		xservice_translate(&service);
	}
}
