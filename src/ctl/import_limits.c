/* SPDX-License-Identifier: ISC */
/* How many clients, how fast, and who: what inetd, xinetd and systemd limit, as preforkd does. */
#include <config.h>

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "board/layout.h"
#include "ctl/import.h"

/* What preforkd.conf(5) has as the most of each. */
#define WORKERS_MOST    (BOARD_SLOTS / 2)
#define PER_SOURCE_MOST BOARD_SLOTS
#define RATE_MOST       UINT64_C(1000000)

#define WHY_ACCEPTOR "an acceptor takes its clients itself"

static bool is_acceptor(const struct draft *draft)
{
	return *draft_value(draft, "acceptor") != '\0';
}

/* As many workers as there are by default are allowed anyway. */
void draft_most(struct draft *draft, const char *written, uint64_t most)
{
	const struct texts *listen = draft_values(draft, "listen");
	const char *key = most <= 4 ? "workers" : "workers_max";

	if (is_acceptor(draft)) {
		draft_note(draft, WHY_ACCEPTOR, "%s", written);
		return;
	}
	if (most == 0) {
		draft_say(draft, "%s: no limit; here workers_max is one", written);
		return;
	}
	draft_set(draft, key, "%" PRIu64, most < WORKERS_MOST ? most : WORKERS_MOST);
	if (most > WORKERS_MOST)
		draft_remark(draft, key, "the most there can be, for %s", written);
	if (listen && listen->count > 1)
		draft_remark(draft, key, "for each address, where it was for all of them");
}

void draft_per_source(struct draft *draft, const char *written, uint64_t most)
{
	if (is_acceptor(draft))
		draft_note(draft, WHY_ACCEPTOR, "%s", written);
	else if (most == 0 || most > PER_SOURCE_MOST)
		draft_say(draft, "%s: no limit, as here", written);
	else
		draft_set(draft, "per_source", "%" PRIu64, most);
}

bool draft_rate(struct draft *draft, const char *key, const char *written, uint64_t count,
		uint64_t per_usec)
{
	const struct rate rate = {count, per_usec};
	char text[PARSE_TEXT_MAX];

	if (is_acceptor(draft))
		draft_note(draft, WHY_ACCEPTOR, "%s", written);
	else if (count == 0 || count / (per_usec / USEC_PER_SEC) > RATE_MOST)
		draft_say(draft, "%s: no limit, as here", written);
	else
		draft_set(draft, key, "%s", format_rate(text, rate));
	return *draft_value(draft, key) != '\0';
}

/* ---- who ---- */

void draft_add_network(struct draft *draft, const char *key, int family, const void *address,
		       unsigned bits)
{
	const struct texts *values = draft_values(draft, key);
	const size_t size = family == AF_INET ? 4 : 16;
	char text[INET6_ADDRSTRLEN + sizeof("/128")];
	unsigned char bytes[16];

	memcpy(bytes, address, size);
	for (size_t i = 0; i < size; i++) {
		unsigned here = bits > 8 * i ? bits - 8 * (unsigned)i : 0;

		if (here < 8)
			bytes[i] &= (unsigned char)(0xff00 >> here);
	}
	inet_ntop(family, bytes, text, sizeof(text));
	if (bits < 8 * size)
		sprintf(text + strlen(text), "/%u", bits);
	if (!values || !texts_have(values, text))
		draft_add(draft, key, text);
}

bool draft_add_prefix(struct draft *draft, const char *key, const char *text)
{
	struct arena *arena = &draft->import->arena;
	const char *slash = strchrnul(text, '/');
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;
	uint64_t bits = family == AF_INET ? 32 : 128;
	unsigned char bytes[16];

	if ((*slash && parse_uint(slash + 1, 0, bits, &bits) < 0) ||
	    inet_pton(family, arena_cut(arena, text, (size_t)(slash - text)), bytes) != 1)
		return false;
	draft_add_network(draft, key, family, bytes, (unsigned)bits);
	return true;
}

static bool listens_on_unix(const struct draft *draft)
{
	const struct texts *listen = draft_values(draft, "listen");

	for (size_t i = 0; listen && i < listen->count; i++)
		if (strncmp(listen->items[i], "unix", 4) == 0)
			return true;
	return false;
}

static void give_up(struct draft *draft, const char *key)
{
	const struct texts *values = draft_values(draft, key);

	if (!values)
		return;
	draft_note(draft, WHY_ACCEPTOR, "%s = %s", key, texts_join(&draft->import->arena, values));
	draft_off(draft, "it was for some clients only, see below");
	draft_unset(draft, key);
}

void draft_settle_access(struct draft *draft)
{
	if (is_acceptor(draft)) {
		give_up(draft, "allow");
		give_up(draft, "deny");
	} else if (draft_values(draft, "allow") && listens_on_unix(draft)) {
		draft_off(draft, "allow is about addresses: its Unix sockets need a service of "
				 "their own");
	}
}
