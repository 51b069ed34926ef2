/* SPDX-License-Identifier: ISC */
/*
 * What it costs to ask whether an address is in `allow`: 10,000 networks that are not side by side,
 * addresses of which half are in them. "hot" is one look-up after another, in CPU time; "cold" is
 * the median of single ones, each after 4 MiB of something else went through the caches (more than
 * those that a core has for itself), as when a worker wakes that others took turns with.
 *
 *	bench/lookups [RULES]
 */
#include <config.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/rules.h"

#define LOOKUPS   65536
#define ROUNDS    100
#define COLD      2001
#define TARGET_NS 1000.0
#define OTHER     ((size_t)4 << 20)

union client {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

struct case_of {
	const char *name;
	sa_family_t family;
	struct rules *rules;
	union client *clients;
};

static volatile size_t sink;

static uint32_t random32(void)
{
	return (uint32_t)random() << 16 ^ (uint32_t)random();
}

/* A network of every second /24 or /48, from the n-th of those that are taken. */
static struct rule rule_of(sa_family_t family, uint32_t n)
{
	char text[64], why[RULE_WHY_MAX];
	struct rule rule;

	if (family == AF_INET)
		snprintf(text, sizeof(text), "%u.%u.%u.0/24", 1 + (n >> 15 & 127), n >> 7 & 255,
			 2 * n & 255);
	else
		snprintf(text, sizeof(text), "2001:%x:%x::/48", n >> 12 & 0xffff, 2 * n & 0x1fff);
	if (rule_parse(text, &rule, why) < 0) {
		fprintf(stderr, "lookups: %s: %s\n", text, why);
		exit(2);
	}
	return rule;
}

static union client client_of(sa_family_t family, uint32_t rules)
{
	uint32_t n = random32() % rules, between = random32() % 2;
	union client c = {.any = {.sa_family = family}};
	struct rule rule = rule_of(family, n);

	if (family == AF_INET) {
		c.in.sin_addr.s_addr =
			htonl((uint32_t)rule.first.low + between * 256 + random32() % 256);
		return c;
	}
	for (unsigned i = 0; i < 8; i++)
		c.in6.sin6_addr.s6_addr[i] =
			(unsigned char)((rule.first.high + (between << 16)) >> (56 - 8 * i));
	for (unsigned i = 8; i < 16; i++)
		c.in6.sin6_addr.s6_addr[i] = (unsigned char)random();
	return c;
}

static void prepare(struct case_of *c, uint32_t count)
{
	struct rule *list = mem_new(count, sizeof(*list));

	for (uint32_t i = 0; i < count; i++)
		list[i] = rule_of(c->family, i);
	c->rules = rules_make(list, count);
	free(list);
	c->clients = mem_new(LOOKUPS, sizeof(*c->clients));
	for (size_t i = 0; i < LOOKUPS; i++)
		c->clients[i] = client_of(c->family, count);
}

static double now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Returns ns each; and in *found how many of the addresses are in the rules. */
static double hot(const struct case_of *c, size_t *found)
{
	double begin = now_ns(CLOCK_PROCESS_CPUTIME_ID);

	*found = 0;
	for (size_t round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < LOOKUPS; i++)
			*found += rules_match_address(c->rules, &c->clients[i].any);
	*found /= ROUNDS;
	return (now_ns(CLOCK_PROCESS_CPUTIME_ID) - begin) / ROUNDS / LOOKUPS;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double cold(const struct case_of *c)
{
	static double took[COLD];
	unsigned char *other = mem_new(OTHER, 1);

	for (size_t i = 0; i < COLD; i++) {
		double begin;

		for (size_t n = 0; n < OTHER; n += 64)
			other[n]++;
		sink += (size_t)c->clients[i].any.sa_data[0];
		begin = now_ns(CLOCK_MONOTONIC);
		sink += rules_match_address(c->rules, &c->clients[i].any);
		took[i] = now_ns(CLOCK_MONOTONIC) - begin;
	}
	free(other);
	qsort(took, COLD, sizeof(*took), compare);
	return took[COLD / 2];
}

int main(int argc, char **argv)
{
	struct case_of cases[] = {{.name = "IPv4", .family = AF_INET},
				  {.name = "IPv6", .family = AF_INET6}};
	uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 10000;
	bool met = true;

	if (count < 1 || count > 1000000) {
		fprintf(stderr, "usage: lookups [RULES]\n");
		return 2;
	}
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct case_of *c = &cases[i];
		double hot_ns, cold_ns;
		size_t found;

		prepare(c, count);
		hot_ns = hot(c, &found);
		cold_ns = cold(c);
		printf("%s  %zu ranges, %zu kB  hot %.0f ns  cold %.0f ns  (%zu of %d in them)\n",
		       c->name, rules_count(c->rules, c->family == AF_INET ? RULE_IPV4 : RULE_IPV6),
		       rules_size(c->rules) / 1024, hot_ns, cold_ns, found, LOOKUPS);
		met = met && hot_ns <= TARGET_NS && cold_ns <= TARGET_NS;
		free(c->rules);
		free(c->clients);
	}
	printf("target: at most %.0f ns, %s\n", TARGET_NS, met ? "met" : "MISSED");
	return met ? 0 : 1;
}
