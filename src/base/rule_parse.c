/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "base/rules.h"

/* An address as 128 bits, IPv4 in the last 32 of them, and how many bits are the network's. */
struct network {
	bool is_ipv4;
	struct wide address;
	unsigned bits;
};

__attribute__((format(printf, 2, 3))) static int expected(char *why, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, RULE_WHY_MAX, format, ap);
	va_end(ap);
	return -1;
}

static int expected_anything(char *why)
{
	return expected(why, "an address or a network as in 192.0.2.7, 10.0.0.0/8, 2001:db8::/32, "
			     "or uid:NAME, gid:NAME");
}

static unsigned width(const struct network *n)
{
	return n->is_ipv4 ? 32 : 128;
}

/* The bits behind the network's. */
static struct wide host_mask(const struct network *n)
{
	unsigned bits = width(n) - n->bits;

	return (struct wide){
		.high = bits > 64 ? UINT64_MAX >> (128 - bits) : 0,
		.low = bits >= 64 ? UINT64_MAX
		       : bits     ? UINT64_MAX >> (64 - bits)
				  : 0,
	};
}

static const char *format_network(const struct network *n, struct wide address, char *text)
{
	unsigned char bytes[16];
	char numeric[INET6_ADDRSTRLEN];

	for (unsigned i = 0; i < 8; i++) {
		bytes[i] = (unsigned char)(address.high >> (56 - 8 * i));
		bytes[i + 8] = (unsigned char)(address.low >> (56 - 8 * i));
	}
	if (n->is_ipv4)
		inet_ntop(AF_INET, bytes + 12, numeric, sizeof(numeric));
	else
		inet_ntop(AF_INET6, bytes, numeric, sizeof(numeric));
	if (n->bits == width(n))
		snprintf(text, RULE_WHY_MAX, "%s", numeric);
	else
		snprintf(text, RULE_WHY_MAX, "%s/%u", numeric, n->bits);
	return text;
}

static int parse_address(const char *text, struct network *n)
{
	unsigned char bytes[16] = {0};

	n->is_ipv4 = inet_pton(AF_INET, text, bytes + 12) == 1;
	if (!n->is_ipv4 && inet_pton(AF_INET6, text, bytes) != 1)
		return -1;
	n->address = (struct wide){0, 0};
	for (unsigned i = 0; i < 8; i++) {
		n->address.high = n->address.high << 8 | bytes[i];
		n->address.low = n->address.low << 8 | bytes[i + 8];
	}
	n->bits = width(n);
	return 0;
}

/* A mask in the old way, as a number of bits; -1 when it is none. */
static int bits_of_netmask(const char *text)
{
	struct in_addr mask;
	uint32_t host;

	if (inet_pton(AF_INET, text, &mask) != 1)
		return -1;
	host = ~ntohl(mask.s_addr);
	return host & (host + 1) ? -1 : __builtin_popcount(~host);
}

static int parse_mask(const char *text, const char *mask, struct network *n, char *why)
{
	int old = n->is_ipv4 ? bits_of_netmask(mask) : -1;
	char right[RULE_WHY_MAX];
	uint64_t bits;

	if (old >= 0) {
		n->bits = (unsigned)old;
		return expected(why, "the number of bits: %s",
				format_network(n, n->address, right));
	}
	if (parse_uint(mask, 0, width(n), &bits) < 0)
		return expected(why, "a number of bits from 0 to %u behind the /, as in %.*s/%u",
				width(n), (int)(mask - 1 - text), text, n->is_ipv4 ? 24 : 64);
	n->bits = (unsigned)bits;
	return 0;
}

/* ::ffff:a.b.c.d is how a socket of both families writes an IPv4 client. */
static void unmap(struct network *n)
{
	if (n->is_ipv4 || n->bits < 96 || n->address.high || n->address.low >> 32 != 0xffff)
		return;
	n->is_ipv4 = true;
	n->bits -= 96;
	n->address.low &= UINT32_MAX;
}

static int parse_network(const char *text, struct rule *rule, char *why)
{
	struct network n = {.is_ipv4 = false};
	char address[INET6_ADDRSTRLEN + 1], net[RULE_WHY_MAX], one[RULE_WHY_MAX];
	size_t length = strcspn(text, "/");
	struct wide mask, base;

	if (length >= sizeof(address))
		return expected_anything(why);
	memcpy(address, text, length);
	address[length] = '\0';
	if (strchr(address, '%'))
		return expected(why, "no %%SCOPE: a rule is about the address on every interface");
	if (parse_address(address, &n) < 0)
		return expected_anything(why);
	if (text[length] == '/' && parse_mask(text, text + length + 1, &n, why) < 0)
		return -1;
	unmap(&n);
	mask = host_mask(&n);
	base = (struct wide){n.address.high & ~mask.high, n.address.low & ~mask.low};
	if (base.high != n.address.high || base.low != n.address.low) {
		format_network(&n, base, net);
		n.bits = width(&n);
		return expected(why, "%s for the network, or %s for the one address", net,
				format_network(&n, n.address, one));
	}
	*rule = (struct rule){
		.kind = n.is_ipv4 ? RULE_IPV4 : RULE_IPV6,
		.first = base,
		.last = {base.high | mask.high, base.low | mask.low},
	};
	return 0;
}

int rule_parse(const char *text, struct rule *rule, char *why)
{
	enum rule_kind kind;

	if (strncmp(text, "uid:", 4) == 0)
		kind = RULE_USER;
	else if (strncmp(text, "gid:", 4) == 0)
		kind = RULE_GROUP;
	else
		return parse_network(text, rule, why);
	if (!text[4])
		return expected(why, "a name or a number behind %s", text);
	*rule = (struct rule){.kind = kind, .name = text + 4};
	return 0;
}
