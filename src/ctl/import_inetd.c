/* SPDX-License-Identifier: ISC */
/* inetd.conf, as GNU's, OpenBSD's (that of Debian), FreeBSD's and NetBSD's inetd read it: lines of
 * fields, and comments that are none. */
#include <config.h>

#include <string.h>
#include <sysexits.h>

#include "ctl/import_inetd.h"

#define BLANKS " \t\r\f\v"
/* How Debian's update-inetd comments a line out. */
#define OFF "#<off>#"
/* How a line begins that has a policy of IPsec for those that follow. */
#define IPSEC "#@"

/* A field may be in quotes, as FreeBSD has it. */
static struct texts read_fields(struct arena *arena, const char *line)
{
	struct texts fields = {0};

	for (line += strspn(line, BLANKS); *line; line += strspn(line, BLANKS)) {
		char quotes[] = {*line, '\0'};
		bool quoted = (*line == '"' || *line == '\'') && strchr(line + 1, *line);
		size_t length;

		line += quoted;
		length = strcspn(line, quoted ? quotes : BLANKS);
		texts_add(arena, &fields, arena_cut(arena, line, length));
		line += length + quoted;
	}
	return fields;
}

/* A line with blanks before it goes on with the one above, unless it is one by itself. */
static bool goes_on(struct arena *arena, const char *line)
{
	struct texts fields;

	if (!strchr(BLANKS, *line) || !line[strspn(line, BLANKS)] ||
	    line[strspn(line, BLANKS)] == '#')
		return false;
	fields = read_fields(arena, line);
	return fields.count < INETD_FIELDS_MIN || (strncmp(fields.items[INETD_WAIT], "wait", 4) &&
						   strncmp(fields.items[INETD_WAIT], "nowait", 6));
}

static bool is_hosts(const struct texts *fields)
{
	const char *field = fields->count == 1 ? fields->items[0] : "";

	return *field && field[strlen(field) - 1] == ':';
}

/* `HOST:` alone on a line is for those that follow; `*:` ends that. */
static void take_hosts(struct inetd *in)
{
	struct arena *arena = &in->import->arena;
	const char *field = in->fields.items[0];

	in->hosts = texts_split(arena, arena_cut(arena, field, strlen(field) - 1), ",");
}

static int check_fields(const struct inetd *in)
{
	if (in->fields.count >= INETD_FIELDS_MIN)
		return 0;
	import_error(in->import, EX_DATAERR, in->file, in->line,
		     "%zu fields; a line has at least %d: name, socket type, protocol, wait or "
		     "nowait, user, program",
		     in->fields.count, INETD_FIELDS_MIN);
	return -1;
}

/* What was made of a line with a mistake is not to be used. */
static void leave_out(struct inetd *in, size_t drafts_before, const char *line)
{
	struct draft *draft;

	in->import->draft_count = drafts_before;
	draft = draft_new(in->import, "", in->file, in->line);
	draft_none(draft, "left out, for a mistake in it: %s", line);
}

static void take_line(struct inetd *in, const char *line)
{
	size_t before = in->import->draft_count;

	in->fields = read_fields(&in->import->arena, line);
	if (in->fields.count == 0 || in->fields.items[0][0] == '#')
		return;
	if (is_hosts(&in->fields))
		take_hosts(in);
	else if (check_fields(in) < 0 || inetd_translate(in) < 0)
		leave_out(in, before, line);
}

static void take_comment(struct inetd *in, const char *line)
{
	if (strncmp(line, OFF, strlen(OFF)) == 0) {
		in->off = true;
		take_line(in, line + strlen(OFF));
		in->off = false;
	} else if (strncmp(line, IPSEC, strlen(IPSEC)) == 0) {
		line += strlen(IPSEC);
		in->ipsec = line + strspn(line, BLANKS);
	}
}

static void remark(struct import *import)
{
	import_remark(import, "\"tcp\" and \"udp\" of inetd.conf are imported as IPv4 and IPv6 on "
			      "one socket, and \"tcp6\" as IPv6 alone, as OpenBSD's and Debian's "
			      "inetd have it.");
	import_remark(import, "GNU's and FreeBSD's mean IPv4 alone by \"tcp\": write tcp4:// for "
			      "that, and for programs that know no IPv6.");
}

void import_inetd(struct import *import, const char *file, char *text)
{
	struct inetd in = {.import = import, .file = file, .ipsec = ""};
	char *rest = text, *line = import_line(&rest);
	int number = 1;

	remark(import);
	while (line) {
		char *next = import_line(&rest);

		in.line = number++;
		while (next && *line && *line != '#' && goes_on(&import->arena, next)) {
			line = arena_format(&import->arena, "%s %s", line, next);
			next = import_line(&rest);
			number++;
		}
		if (*line == '#')
			take_comment(&in, line);
		else
			take_line(&in, line);
		line = next;
	}
}
