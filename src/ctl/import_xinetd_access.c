/* SPDX-License-Identifier: ISC */
/* The addresses of only_from and no_access: xinetd's forms as those of allow and deny. */
#include <config.h>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>

#include "base/parse.h"
#include "ctl/import_xinetd.h"

struct access {
	struct xservice *service;
	const char *key; /* allow or deny */
};

static void add(const struct access *access, const void *bytes, int family, unsigned bits)
{
	draft_add_network(access->service->draft, access->key, family, bytes, bits);
}

/* ADDRESS/BITS. */
static bool take_prefix(const struct access *access, const char *text)
{
	return strchr(text, '/') && draft_add_prefix(access->service->draft, access->key, text);
}

/* Zeros at the end of an IPv4 address match everything; `::` does, too. */
static bool take_number(const struct access *access, const char *text)
{
	struct in6_addr in6;
	unsigned char bytes[4];
	unsigned used = sizeof(bytes);

	if (inet_pton(AF_INET6, text, &in6) == 1) {
		add(access, &in6, AF_INET6, IN6_IS_ADDR_UNSPECIFIED(&in6) ? 0 : 128);
		return true;
	}
	if (inet_pton(AF_INET, text, bytes) != 1)
		return false;
	while (used > 0 && bytes[used - 1] == 0)
		used--;
	add(access, bytes, AF_INET, 8 * used);
	return true;
}

/* A.B.{C,D}: what is missing behind the braces matches everything. */
static bool take_factors(const struct access *access, const char *text)
{
	struct arena *arena = &access->service->import->arena;
	const char *open = strchr(text, '{');
	struct texts head, last;
	unsigned char bytes[4] = {0};
	uint64_t number;

	if (!open || text[strlen(text) - 1] != '}')
		return false;
	head = texts_split(arena, arena_cut(arena, text, (size_t)(open - text)), ".");
	last = texts_split(arena, open + 1, ",}");
	if (head.count > 3 || last.count == 0)
		return false;
	for (size_t i = 0; i < head.count + last.count; i++) {
		bool in_head = i < head.count;
		const char *part = in_head ? head.items[i] : last.items[i - head.count];

		if (parse_uint(part, 0, 255, &number) < 0)
			return false;
		bytes[in_head ? i : head.count] = (unsigned char)number;
		if (!in_head)
			add(access, bytes, AF_INET, 8 * ((unsigned)head.count + 1));
	}
	return true;
}

/* A name of networks(5), whose number has no zeros at its end. */
static bool take_network(const struct access *access, const char *text)
{
	/* cppcheck-suppress getnetbynameCalled; one thread */
	const struct netent *entry = getnetbyname(text);
	unsigned char bytes[4];
	unsigned bits = 32;
	uint32_t number;

	if (!entry || entry->n_addrtype != AF_INET || entry->n_net == 0)
		return false;
	for (number = entry->n_net; !(number & 0xff000000); number <<= 8)
		bits -= 8;
	/* The resolver may give it with the zeros, too. */
	while (bits > 8 && !(number >> (32 - bits) & 0xff))
		bits -= 8;
	number = htonl(number);
	memcpy(bytes, &number, sizeof(bytes));
	add(access, bytes, AF_INET, bits);
	return true;
}

static bool take_host(const struct access *access, const char *text)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;

	if (*text == '.' || !text[strspn(text, "0123456789./")] ||
	    getaddrinfo(text, NULL, &hints, &found) != 0)
		return false;
	for (const struct addrinfo *one = found; one; one = one->ai_next) {
		if (one->ai_family == AF_INET)
			add(access, &((struct sockaddr_in *)(void *)one->ai_addr)->sin_addr,
			    AF_INET, 32);
		else if (one->ai_family == AF_INET6)
			add(access, &((struct sockaddr_in6 *)(void *)one->ai_addr)->sin6_addr,
			    AF_INET6, 128);
	}
	freeaddrinfo(found);
	draft_say(access->service->draft,
		  "%s: these are the addresses that it has now; preforkd looks no names up", text);
	return true;
}

/* Who is missing in allow is refused, which is safe; who is missing in deny is not. */
static void take_nothing(const struct access *access, const char *text)
{
	struct draft *draft = access->service->draft;

	draft_note(draft,
		   "no equivalent: neither an address nor a name that this machine knows; preforkd "
		   "looks no names up",
		   "%s", text);
	draft_off(draft, "%s lacks %s", access->key, text);
}

static void take_addresses(struct xservice *service, const char *key, const struct texts *values)
{
	struct access access = {.service = service, .key = key};

	for (size_t i = 0; i < values->count; i++) {
		const char *text = values->items[i];

		if (!take_prefix(&access, text) && !take_number(&access, text) &&
		    !take_factors(&access, text) && !take_network(&access, text) &&
		    !take_host(&access, text))
			take_nothing(&access, text);
	}
}

/* ---- both ---- */

static bool has_ipv6(const struct texts *addresses)
{
	for (size_t i = 0; i < addresses->count; i++)
		if (strchr(addresses->items[i], ':'))
			return true;
	return false;
}

/* Everybody, or everybody who comes by IPv4, needs no list. */
static void settle_everybody(struct xservice *service)
{
	const struct texts *allow = draft_values(service->draft, "allow");
	const char *listen = draft_value(service->draft, "listen");

	if (!allow || !texts_have(allow, "0.0.0.0/0"))
		return;
	if (texts_have(allow, "::/0")) {
		draft_say(service->draft, "only_from is everybody");
	} else if (!has_ipv6(allow) && strncmp(listen + 3, "://*:", 5) == 0) {
		draft_set(service->draft, "listen", "%.3s4%s", listen, listen + 3);
		draft_remark(service->draft, "listen", "only_from is everybody, by IPv4");
	} else {
		return;
	}
	draft_unset(service->draft, "allow");
}

void xservice_take_only_from(struct xservice *service, const struct xattribute *attribute)
{
	struct texts set = xservice_set(service, "only_from");

	(void)attribute;
	if (set.count) {
		take_addresses(service, "allow", &set);
		settle_everybody(service);
		return;
	}
	draft_add(service->draft, "deny", "0.0.0.0/0");
	draft_add(service->draft, "deny", "::/0");
	draft_remark(service->draft, "deny", "only_from is empty: nobody");
}

void xservice_take_no_access(struct xservice *service, const struct xattribute *attribute)
{
	struct texts set = xservice_set(service, "no_access");

	(void)attribute;
	take_addresses(service, "deny", &set);
	if (draft_values(service->draft, "allow") && set.count)
		draft_say(service->draft, "a client that is in both: xinetd goes by the more "
					  "specific one, preforkd by deny");
}
