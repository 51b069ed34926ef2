/* SPDX-License-Identifier: ISC */
/*
 * Rules of who may come: networks, addresses, users and groups. A set of them is one block of
 * sorted, merged ranges; a lookup is a binary search in it, and neither allocates nor fails.
 */
#ifndef BASE_RULES_H
#define BASE_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/* What is asked of those whom proxy_from trusts. */
enum proxy_mode { PROXY_OFF, PROXY_ACCEPT, PROXY_REQUIRE };

enum rule_kind { RULE_IPV4, RULE_IPV6, RULE_USER, RULE_GROUP };
#define RULE_KINDS 4

/* A number of 128 bits. */
struct wide {
	uint64_t high, low;
};

/* One rule: all from first to last. */
struct rule {
	enum rule_kind kind;
	const char *name;        /* of a user or group, in the text that was parsed: first and last
				    are for who looks it up */
	struct wide first, last; /* all but IPv6 have only `low` */
};

#define RULE_WHY_MAX 200
/*
 * `10.0.0.0/8`, `192.0.2.7`, `2001:db8::/32`, `::1`, `uid:NAME`, `gid:NAME`; ::ffff:a.b.c.d is
 * a.b.c.d. Returns 0, or -1 with `why` (RULE_WHY_MAX bytes): what would be right.
 */
int rule_parse(const char *text, struct rule *rule, char *why);

struct rules;

/* A set of them, which may be changed on the way; allocated, to be freed. NULL for none. */
struct rules *rules_make(struct rule *list, size_t count);
size_t rules_size(const struct rules *rules);
/* A copy of the rules_size() bytes of a set; NULL when they are none. */
struct rules *rules_copy(const void *bytes, size_t size);
/* The number of ranges of a kind, and one of them. */
size_t rules_count(const struct rules *rules, enum rule_kind kind);
struct rule rules_range(const struct rules *rules, enum rule_kind kind, size_t index);

/* In all of these NULL is a set without a rule. */
/* AF_INET and AF_INET6, unmapped before; no other family matches. */
bool rules_match_address(const struct rules *rules, const struct sockaddr *addr);
bool rules_match_user(const struct rules *rules, uid_t uid, gid_t gid);
/* Whether a client's user has to be known. */
bool rules_has_users(const struct rules *rules);

#endif
