/* SPDX-License-Identifier: ISC */
/* A line of inetd.conf: name, socket type, protocol, wait or nowait, user, program, arguments. */
#include <config.h>

#include <inttypes.h>
#include <pwd.h>
#include <string.h>
#include <sysexits.h>

#include "base/parse.h"
#include "ctl/import_inetd.h"

/* One service of a line, once its first fields are understood. */
struct entry {
	const char *name;     /* of services(5), a number or a path */
	const char *protocol; /* tcp or udp, for services(5) */
	bool wait, datagrams;
};

/* The scheme of a protocol, by its name up to a `,` or `/`; NULL when there is none. */
static const char *scheme_of(const char *protocol, const char *type)
{
	static const struct {
		const char *type, *protocol, *scheme;
	} schemes[] = {
		{"stream", "tcp", "tcp"},
		{"stream", "tcp4", "tcp4"},
		{"stream", "tcp6", "tcp6"},
		{"stream", "tcp46", "tcp"},
		{"stream", "tcp6only", "tcp6"},
		{"dgram", "udp", "udp"},
		{"dgram", "udp4", "udp4"},
		{"dgram", "udp6", "udp6"},
		{"dgram", "udp46", "udp"},
		{"dgram", "udp6only", "udp6"},
		{"stream", "unix", "unix"},
		{"dgram", "unix", "unixgram"},
		{"seqpacket", "unix", "unixpacket"},
	};
	size_t length = strcspn(protocol, ",/"), type_length = strcspn(type, ":");

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (strlen(schemes[i].protocol) == length &&
		    strncmp(schemes[i].protocol, protocol, length) == 0 &&
		    strlen(schemes[i].type) == type_length &&
		    strncmp(schemes[i].type, type, type_length) == 0)
			return schemes[i].scheme;
	return NULL;
}

/* ---- what has no equivalent ---- */

/* Returns false when nothing can be made of the line. */
static bool can_be_served(struct draft *draft, const struct inetd *in)
{
	const char *service = in->fields.items[INETD_SERVICE], *type = in->fields.items[INETD_TYPE];
	const char *protocol = in->fields.items[INETD_PROTOCOL];

	if (strncmp(protocol, "rpc/", 4) == 0)
		draft_none(draft, "no equivalent: a service of Sun RPC, whose port is registered "
				  "with rpcbind; run the program by itself");
	else if (strncmp(service, "tcpmux", 6) == 0 && (!service[6] || service[6] == '/'))
		draft_none(draft, "no equivalent: a service of tcpmux (RFC 1078); give it a port "
				  "of its own");
	else if (strncmp(type, "raw", 3) == 0 || strncmp(type, "rdm", 3) == 0)
		draft_none(draft, "no equivalent: a socket of type %s", type);
	else if (!scheme_of(protocol, type))
		draft_none(draft, "no equivalent: a socket of type %s and protocol %s", type,
			   protocol);
	return !draft->none;
}

static void note_extras(struct draft *draft, const struct inetd *in)
{
	const char *type = strchr(in->fields.items[INETD_TYPE], ':');
	const char *protocol = in->fields.items[INETD_PROTOCOL];
	const char *extra = protocol + strcspn(protocol, ",/");

	if (type)
		draft_note(draft, "no equivalent: an accept filter; see defer_accept", "%s",
			   type + 1);
	if (*extra == ',')
		draft_note(draft, "no equivalent: the sizes of buffers are the kernel's", "%s",
			   extra + 1);
	if (*extra == '/')
		draft_note(draft, "no equivalent", "%s", protocol);
	if (*in->ipsec) {
		draft_note(draft, "no equivalent: the policies of IPsec are the kernel's", "%s",
			   in->ipsec);
		draft_off(draft, "it was protected by IPsec, see below");
	}
}

/* ---- where it listens ---- */

/* `HOST,HOST:SERVICE`: the colon is the last one that is not in brackets. */
static const char *split_hosts(const struct inetd *in, const char *field, struct texts *hosts)
{
	const char *colon = strrchr(field, ':'), *bracket = strrchr(field, ']');

	*hosts = in->hosts;
	if (!colon || (bracket && colon < bracket))
		return field;
	*hosts = texts_split(&in->import->arena,
			     arena_cut(&in->import->arena, field, (size_t)(colon - field)), ",");
	return colon + 1;
}

/* FreeBSD's `:USER:GROUP:MODE:PATH`. */
static const char *take_owner(struct draft *draft, const char *path)
{
	struct arena *arena = &draft->import->arena;
	struct texts parts = texts_split(arena, path, ":");
	unsigned mode;

	if (*path != ':' || parts.count != 4)
		return path;
	draft_set(draft, "socket_user", "%s", parts.items[0]);
	draft_set(draft, "socket_group", "%s", parts.items[1]);
	if (parse_mode(parts.items[2], &mode) == 0)
		draft_set(draft, "socket_mode", "%04o", mode);
	else
		draft_off(draft, "%s: not the mode of a socket", parts.items[2]);
	return parts.items[3];
}

static void set_listen(struct draft *draft, const struct inetd *in, const char *scheme,
		       const struct entry *entry, const struct texts *hosts)
{
	struct arena *arena = &in->import->arena;

	if (strncmp(scheme, "unix", 4) == 0) {
		draft_add(draft, "listen",
			  arena_format(arena, "%s://%s", scheme, take_owner(draft, entry->name)));
		return;
	}
	for (size_t i = 0; i < hosts->count; i++)
		draft_add(draft, "listen",
			  import_address(in->import, scheme, hosts->items[i], entry->name));
	if (hosts->count == 0)
		draft_add(draft, "listen", import_address(in->import, scheme, "*", entry->name));
}

/* ---- limits ---- */

/* FreeBSD's /MAX-CHILD[/MAX-PER-MINUTE-AND-ADDRESS[/MAX-CHILD-AND-ADDRESS]]; 0 is no limit. */
static int take_children(struct draft *draft, const struct inetd *in, const char *text)
{
	uint64_t most[3] = {0};
	struct texts numbers = texts_split(&in->import->arena, text, "/");

	if (numbers.count == 0)
		return -1;
	for (size_t i = 0; i < numbers.count; i++)
		if (i == 3 || parse_uint(numbers.items[i], 0, INT32_MAX, &most[i]) < 0)
			return -1;
	draft_most(draft, arena_format(&in->import->arena, "max-child %s", numbers.items[0]),
		   most[0]);
	if (most[1])
		draft_rate(draft, "rate_per_source",
			   arena_format(&in->import->arena, "%s a minute and address",
					numbers.items[1]),
			   most[1], 60 * USEC_PER_SEC);
	if (most[2])
		draft_per_source(
			draft,
			arena_format(&in->import->arena, "max-child-per-ip %s", numbers.items[2]),
			most[2]);
	return 0;
}

/* What stands behind wait or nowait. */
static int take_limits(struct draft *draft, const struct inetd *in)
{
	const char *limits =
		in->fields.items[INETD_WAIT] + strcspn(in->fields.items[INETD_WAIT], ".:/");
	uint64_t most;

	if (!*limits)
		return 0;
	if (*limits == '/')
		return take_children(draft, in, limits + 1);
	if (parse_uint(limits + 1, 0, INT32_MAX, &most) < 0)
		return -1;
	if (most)
		draft_rate(draft, "rate",
			   arena_format(&in->import->arena, "%s a minute", limits + 1), most,
			   60 * USEC_PER_SEC);
	return 0;
}

/* ---- who ---- */

/* USER, USER:GROUP, USER.GROUP; FreeBSD: with /CLASS behind it. */
static void set_user(struct draft *draft, const struct inetd *in)
{
	struct arena *arena = &in->import->arena;
	const char *field = in->fields.items[INETD_USER];
	char *user = arena_cut(arena, field, strcspn(field, "/")), *group = strchr(user, ':');

	if (strchr(field, '/'))
		draft_note(draft, "no equivalent: a login class; see limit_*", "%s",
			   strchr(field, '/') + 1);
	/* cppcheck-suppress getpwnamCalled; one thread */
	if (!group && !getpwnam(user))
		group = strrchr(user, '.'); /* unless that is how the user is called */
	if (group)
		*group++ = '\0';
	draft_user(draft, user, group);
}

/* ---- a line ---- */

static int complain(const struct inetd *in, const char *what, const char *right)
{
	import_error(in->import, EX_DATAERR, in->file, in->line, "%s: expected %s", what, right);
	return -1;
}

static void set_handler(struct draft *draft, const struct inetd *in, const struct entry *entry)
{
	const char *program = in->fields.items[INETD_PROGRAM];
	struct invocation inv = {
		.file = in->file,
		.program = program,
		.argv = texts_from(&in->fields, INETD_ARGV),
		.wait = entry->wait,
		.datagrams = entry->datagrams,
	};

	if (strcmp(program, "internal") != 0)
		draft_program(draft, &inv);
	else if (!draft_builtin(draft, entry->name, entry->protocol))
		draft_none(draft, "no equivalent: the internal service %s", entry->name);
}

static int make_draft(const struct inetd *in, const char *scheme, const struct entry *entry,
		      const struct texts *hosts)
{
	const char *slash = strrchr(entry->name, '/');
	struct draft *draft =
		draft_new(in->import, slash ? slash + 1 : entry->name, in->file, in->line);

	draft->other = arena_cut(&in->import->arena, in->fields.items[INETD_PROTOCOL],
				 strcspn(in->fields.items[INETD_PROTOCOL], ",/"));
	if (in->off)
		draft_off(draft, "it is commented out by #<off>#");
	if (!can_be_served(draft, in) || !scheme)
		return 0;
	note_extras(draft, in);
	set_listen(draft, in, scheme, entry, hosts);
	set_handler(draft, in, entry);
	if (draft->none)
		return 0;
	set_user(draft, in);
	if (take_limits(draft, in) < 0)
		return complain(in, in->fields.items[INETD_WAIT],
				"nowait, nowait.MAX or nowait/MAX/MAX/MAX");
	return 0;
}

/* A program that gets the socket as its standard input gets one: a service for each host. */
static int make_drafts(const struct inetd *in, const char *scheme, const struct entry *entry,
		       const struct texts *hosts)
{
	bool internal = strcmp(in->fields.items[INETD_PROGRAM], "internal") == 0;

	if (!entry->wait || internal || hosts->count < 2)
		return make_draft(in, scheme, entry, hosts);
	for (size_t i = 0; i < hosts->count; i++) {
		struct texts one = {.items = &hosts->items[i], .count = 1};

		if (make_draft(in, scheme, entry, &one) < 0)
			return -1;
	}
	return 0;
}

static int read_wait(const struct inetd *in, bool *wait)
{
	const char *field = in->fields.items[INETD_WAIT];
	size_t length = strcspn(field, ".:/");

	*wait = length == 4 && strncmp(field, "wait", 4) == 0;
	if (*wait || (length == 6 && strncmp(field, "nowait", 6) == 0))
		return 0;
	return complain(in, field, "wait or nowait");
}

int inetd_translate(struct inetd *in)
{
	const char *type = in->fields.items[INETD_TYPE],
		   *protocol = in->fields.items[INETD_PROTOCOL];
	const char *scheme = scheme_of(protocol, type);
	struct entry entry = {.name = in->fields.items[INETD_SERVICE]};
	struct texts hosts = in->hosts;

	entry.protocol = strncmp(protocol, "udp", 3) == 0 ? "udp" : "tcp";
	entry.datagrams = strncmp(type, "dgram", 5) == 0;
	if (read_wait(in, &entry.wait) < 0)
		return -1;
	if (!scheme || strncmp(scheme, "unix", 4) != 0)
		entry.name = split_hosts(in, entry.name, &hosts);
	return make_drafts(in, scheme, &entry, &hosts);
}
