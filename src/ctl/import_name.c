/* SPDX-License-Identifier: ISC */
/* Names of services, and their addresses. */
#include <config.h>

#include <arpa/inet.h>
#include <ctype.h>
#include <netdb.h>
#include <string.h>

#include "base/address.h"
#include "base/parse.h"
#include "ctl/import.h"

#define NAME_MAX_BYTES 63
#define NAME_BYTES     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"

/* What a name may not hold becomes a `-`, one for all in a row. */
static char *make_valid(struct arena *arena, const char *wish)
{
	char *name = arena_take(arena, strlen(wish) + 1), *end = name;

	for (; *wish; wish++) {
		bool valid = strchr(NAME_BYTES, *wish) != NULL;

		if (valid)
			*end++ = *wish;
		else if (end > name && end[-1] != '-')
			*end++ = '-';
	}
	while (end > name && end[-1] == '-')
		*--end = '\0';
	if (end == name)
		return arena_text(arena, "service");
	if (end - name > NAME_MAX_BYTES)
		name[NAME_MAX_BYTES] = '\0';
	return name;
}

static bool is_taken(const struct import *import, const char *name, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!import->drafts[i]->none && strcmp(import->drafts[i]->name, name) == 0)
			return true;
	return false;
}

static char *with_ending(struct arena *arena, const char *name, const char *ending)
{
	size_t room = NAME_MAX_BYTES - strlen(ending);

	return arena_format(arena, "%.*s%s", (int)room, name, ending);
}

static const char *make_unique(struct import *import, size_t index)
{
	struct arena *arena = &import->arena;
	struct draft *draft = import->drafts[index];
	char *name = make_valid(arena, draft->name), *other = name;

	if (*draft->other && is_taken(import, other, index))
		other = with_ending(arena, name, arena_format(arena, "-%.16s", draft->other));
	for (unsigned i = 2; is_taken(import, other, index); i++)
		other = with_ending(arena, name, arena_format(arena, "-%u", i));
	return other;
}

void import_name(struct import *import)
{
	for (size_t i = 0; i < import->draft_count; i++)
		if (!import->drafts[i]->none)
			import->drafts[i]->name = make_unique(import, i);
}

/* ---- addresses ---- */

/* Some names of services(5) cannot stand in an address. */
static bool is_port_name(const char *name)
{
	struct address address;
	char text[ADDRESS_TEXT_MAX];

	if (strlen(name) >= ADDRESS_PORT_MAX)
		return false;
	stpcpy(stpcpy(text, "tcp://*:"), name);
	return address_parse(text, &address, NULL) == 0;
}

static const char *name_of_port(const char *scheme, const char *port)
{
	const struct servent *entry;
	uint64_t number;

	if (parse_uint(port, 1, UINT16_MAX, &number) < 0)
		return port;
	/* cppcheck-suppress getservbyportCalled; one thread */
	entry = getservbyport(htons((uint16_t)number), strncmp(scheme, "udp", 3) ? "tcp" : "udp");
	return entry && is_port_name(entry->s_name) ? entry->s_name : port;
}

char *import_address(struct import *import, const char *scheme, const char *host, const char *port)
{
	bool literal = strchr(host, ':') != NULL && *host != '[';

	return arena_format(&import->arena, "%s://%s%s%s:%s", scheme, literal ? "[" : "", host,
			    literal ? "]" : "", name_of_port(scheme, port));
}
