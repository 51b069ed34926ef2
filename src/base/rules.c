/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hot.h"
#include "base/mem.h"
#include "base/rules.h"

/*
 * Behind it lie the ranges: of IPv6 all first, then all last numbers, as struct wide; then of IPv4,
 * users and groups the same as uint32_t. A search walks the first ones only, which lie close.
 */
struct rules {
	uint32_t counts[RULE_KINDS];
};

/* ---- lookups ---- */

static bool is_less(struct wide a, struct wide b)
{
	return a.high < b.high || (a.high == b.high && a.low < b.low);
}

static const struct wide *wides(const struct rules *rules)
{
	return (const struct wide *)(const void *)(rules + 1);
}

static const uint32_t *numbers(const struct rules *rules, enum rule_kind kind)
{
	const struct wide *behind = wides(rules) + 2 * (size_t)rules->counts[RULE_IPV6];
	const uint32_t *n = (const uint32_t *)(const void *)behind;

	if (kind == RULE_IPV4)
		return n;
	n += 2 * (size_t)rules->counts[RULE_IPV4];
	return kind == RULE_USER ? n : n + 2 * (size_t)rules->counts[RULE_USER];
}

/* Looks for the last range that does not begin behind `key`. Both that may be compared next are on
 * their way meanwhile: a worker that wakes finds its caches cold. */
HOT static bool has_number(const struct rules *rules, enum rule_kind kind, uint32_t key)
{
	const uint32_t *first = numbers(rules, kind), *at = first;
	size_t count = rules->counts[kind];

	if (count == 0 || key < *first)
		return false;
	for (size_t left = count; left > 1;) {
		size_t half = left / 2;

		left -= half;
		__builtin_prefetch(at + left / 2);
		__builtin_prefetch(at + half + left / 2);
		at = at[half] <= key ? at + half : at;
	}
	return key <= at[count];
}

HOT static bool has_wide(const struct rules *rules, struct wide key)
{
	const struct wide *first = wides(rules), *at = first;
	size_t count = rules->counts[RULE_IPV6];

	if (count == 0 || is_less(key, *first))
		return false;
	for (size_t left = count; left > 1;) {
		size_t half = left / 2;

		left -= half;
		__builtin_prefetch(at + left / 2);
		__builtin_prefetch(at + half + left / 2);
		at = is_less(key, at[half]) ? at : at + half;
	}
	return !is_less(at[count], key);
}

static struct wide wide_of(const struct in6_addr *address)
{
	struct wide w = {0, 0};

	for (size_t i = 0; i < 8; i++) {
		w.high = w.high << 8 | address->s6_addr[i];
		w.low = w.low << 8 | address->s6_addr[i + 8];
	}
	return w;
}

HOT bool rules_match_address(const struct rules *rules, const struct sockaddr *addr)
{
	const void *any = addr;

	if (!rules)
		return false;
	if (addr->sa_family == AF_INET) {
		const struct sockaddr_in *in = any;

		return has_number(rules, RULE_IPV4, ntohl(in->sin_addr.s_addr));
	}
	if (addr->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = any;

		return has_wide(rules, wide_of(&in6->sin6_addr));
	}
	return false;
}

bool rules_match_user(const struct rules *rules, uid_t uid, gid_t gid)
{
	return rules && (has_number(rules, RULE_USER, (uint32_t)uid) ||
			 has_number(rules, RULE_GROUP, (uint32_t)gid));
}

bool rules_has_users(const struct rules *rules)
{
	return rules && (rules->counts[RULE_USER] || rules->counts[RULE_GROUP]);
}

/* ---- sets ---- */

static size_t size_of(const uint32_t counts[RULE_KINDS])
{
	size_t size = sizeof(struct rules) + 2 * counts[RULE_IPV6] * sizeof(struct wide);

	for (enum rule_kind kind = 0; kind < RULE_KINDS; kind++)
		if (kind != RULE_IPV6)
			size += 2 * counts[kind] * sizeof(uint32_t);
	return size;
}

size_t rules_size(const struct rules *rules)
{
	return rules ? size_of(rules->counts) : 0;
}

struct rules *rules_copy(const void *bytes, size_t size)
{
	struct rules head, *copy;

	if (size < sizeof(head))
		return NULL;
	memcpy(&head, bytes, sizeof(head));
	if (size_of(head.counts) != size)
		return NULL;
	copy = mem_new(1, size);
	memcpy(copy, bytes, size);
	return copy;
}

size_t rules_count(const struct rules *rules, enum rule_kind kind)
{
	return rules ? rules->counts[kind] : 0;
}

struct rule rules_range(const struct rules *rules, enum rule_kind kind, size_t index)
{
	struct rule rule = {.kind = kind};
	size_t count = rules->counts[kind];

	if (kind == RULE_IPV6) {
		rule.first = wides(rules)[index];
		rule.last = wides(rules)[index + count];
	} else {
		rule.first.low = numbers(rules, kind)[index];
		rule.last.low = numbers(rules, kind)[index + count];
	}
	return rule;
}

static int compare(const void *left, const void *right)
{
	const struct rule *a = left, *b = right;

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (is_less(a->first, b->first))
		return -1;
	return is_less(b->first, a->first);
}

/* Whether nothing lies between the end of one and the begin of the next, which is sorted behind. */
static bool touches(const struct rule *one, const struct rule *next)
{
	struct wide after = {one->last.high + (one->last.low == UINT64_MAX), one->last.low + 1};

	return one->kind == next->kind &&
	       (!is_less(one->last, next->first) ||
		(after.high == next->first.high && after.low == next->first.low));
}

/* Sorts and joins them in place. Returns how many are left. */
static size_t merge(struct rule *list, size_t count)
{
	size_t kept = 0;

	qsort(list, count, sizeof(*list), compare);
	for (size_t i = 1; i < count; i++) {
		if (!touches(&list[kept], &list[i]))
			list[++kept] = list[i];
		else if (is_less(list[kept].last, list[i].last))
			list[kept].last = list[i].last;
	}
	return kept + 1;
}

/* The ranges of one kind, which lie together. */
static void put_ranges(struct rules *rules, const struct rule *list, enum rule_kind kind)
{
	size_t count = rules->counts[kind];
	struct wide *wide = (struct wide *)(uintptr_t)wides(rules);
	uint32_t *number = (uint32_t *)(uintptr_t)numbers(rules, kind);

	for (size_t i = 0; i < count && kind == RULE_IPV6; i++) {
		wide[i] = list[i].first;
		wide[i + count] = list[i].last;
	}
	for (size_t i = 0; i < count && kind != RULE_IPV6; i++) {
		number[i] = (uint32_t)list[i].first.low;
		number[i + count] = (uint32_t)list[i].last.low;
	}
}

struct rules *rules_make(struct rule *list, size_t count)
{
	struct rules head = {0}, *rules;
	size_t at = 0;

	if (count == 0)
		return NULL;
	count = merge(list, count);
	for (size_t i = 0; i < count; i++)
		head.counts[list[i].kind]++;
	rules = mem_new(1, size_of(head.counts));
	*rules = head;
	for (enum rule_kind kind = 0; kind < RULE_KINDS; kind++) {
		put_ranges(rules, list + at, kind);
		at += rules->counts[kind];
	}
	return rules;
}
