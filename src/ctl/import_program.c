/* SPDX-License-Identifier: ISC */
/* What inetd and xinetd start, as preforkd does. */
#include <config.h>

#include <arpa/inet.h>
#include <netdb.h>
#include <string.h>

#include "base/parse.h"
#include "ctl/import.h"

/* Where tcpd looks for a program that is given without a path. */
#define TCPD_FOLDER "/usr/sbin"

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void note_hosts(struct draft *draft, const char *file, const char *program)
{
	struct texts rules = import_hosts(draft->import, file, program);

	for (size_t i = 0; i < rules.count; i++)
		draft_note(draft, "rules of tcpd and libwrap, which preforkd does not read", "%s",
			   rules.items[i]);
	if (rules.count)
		draft_off(draft, "hosts.allow and hosts.deny have rules for it, see below");
}

/* tcpd PROGRAM ARG... becomes PROGRAM ARG... */
static void unwrap(struct draft *draft, struct invocation *inv)
{
	struct arena *arena = &draft->import->arena;

	if (strcmp(last_part(inv->program), "tcpd") != 0)
		return;
	if (inv->argv.count == 0 || strcmp(last_part(inv->argv.items[0]), "tcpd") == 0) {
		draft_off(draft, "%s: of which program?", inv->program);
		return;
	}
	draft_say(draft, "without %s: its log, its banners, hosts.allow and hosts.deny",
		  inv->program);
	inv->program = inv->argv.items[0];
	if (*inv->program != '/')
		inv->program = arena_format(arena, "%s/%s", TCPD_FOLDER, inv->program);
	inv->wrapped = last_part(inv->program);
}

/* preforkd passes the path, which matters to few programs: those that are several in one. */
static void look_at_name(struct draft *draft, const struct invocation *inv)
{
	const char *name = inv->argv.count ? inv->argv.items[0] : inv->program;

	if (strcmp(last_part(name), last_part(inv->program)) != 0)
		draft_say(draft, "it was started under the name \"%s\"; here it is its path", name);
}

static void run_for_each_client(struct draft *draft, const struct invocation *inv)
{
	draft_set(draft, "stderr", "client");
	draft_remark(draft, "stderr", "as before; \"log\" keeps it out of what the client gets");
	if (inv->datagrams)
		draft_say(draft,
			  "the datagram is the standard input of the program and its output "
			  "the reply; one that takes datagrams from a socket needs acceptor");
}

static void run_as_acceptor(struct draft *draft)
{
	draft_set(draft, "pass_as", "stdin");
	draft_set(draft, "workers", "1");
	draft_remark(draft, "workers",
		     "always there, where the first client had it started before");
}

void draft_program(struct draft *draft, const struct invocation *invocation)
{
	struct invocation inv = *invocation;
	const char *key = inv.wait ? "acceptor" : "exec";
	struct texts arguments;

	unwrap(draft, &inv);
	arguments = texts_from(&inv.argv, 1);
	draft_add(draft, key, inv.program);
	for (size_t i = 0; i < arguments.count; i++)
		draft_add(draft, key, arguments.items[i]);
	look_at_name(draft, &inv);
	if (inv.wait)
		run_as_acceptor(draft);
	else
		run_for_each_client(draft, &inv);
	if (inv.wrapped)
		note_hosts(draft, inv.file, inv.wrapped);
}

/* ---- internal services ---- */

bool draft_builtin(struct draft *draft, const char *service, const char *protocol)
{
	static const char *const names[] = {"echo", "discard", "chargen", "daytime", "time"};
	/* cppcheck-suppress getservbynameCalled; one thread */
	const struct servent *entry = getservbyname(service, protocol);
	uint64_t port;

	if (!entry && parse_uint(service, 1, UINT16_MAX, &port) == 0)
		/* cppcheck-suppress getservbyportCalled; one thread */
		entry = getservbyport(htons((uint16_t)port), protocol);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(service, names[i]) != 0 &&
		    (!entry || strcmp(entry->s_name, names[i]) != 0))
			continue;
		draft_set(draft, "builtin", "%s", names[i]);
		return true;
	}
	return false;
}

void draft_user(struct draft *draft, const char *user, const char *group)
{
	bool idle_root = *draft_value(draft, "builtin") && strcmp(user, "root") == 0;

	draft_set(draft, "user", "%s", idle_root ? "nobody" : user);
	if (idle_root)
		draft_remark(draft, "user", "was root, which a built-in has no need of");
	if (group && !idle_root)
		draft_set(draft, "group", "%s", group);
}
