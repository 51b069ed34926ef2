/* SPDX-License-Identifier: ISC */
/* Who may come: what a rule means, what is wrong with one, and that a set finds what a look at each
 * of its rules finds. */
#include <config.h>

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rules.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(*(array))))

union any_address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static union any_address address(const char *text)
{
	union any_address a = {0};

	a.any.sa_family = strchr(text, ':') ? AF_INET6 : AF_INET;
	if (a.any.sa_family == AF_INET)
		ck_assert_int_eq(inet_pton(AF_INET, text, &a.in.sin_addr), 1);
	else
		ck_assert_int_eq(inet_pton(AF_INET6, text, &a.in6.sin6_addr), 1);
	return a;
}

static struct rule parsed(const char *text)
{
	struct rule rule;
	char why[RULE_WHY_MAX] = "";

	ck_assert_msg(rule_parse(text, &rule, why) == 0, "%s: expected %s", text, why);
	return rule;
}

/* The set of rules in a text, between spaces. */
static struct rules *rules_of(const char *text)
{
	struct rule list[32];
	char *copy = strdup(text), *state = NULL;
	struct rules *rules;
	size_t count = 0;

	for (char *word = strtok_r(copy, " ", &state); word; word = strtok_r(NULL, " ", &state))
		list[count++] = parsed(word);
	rules = rules_make(list, count);
	free(copy);
	return rules;
}

static bool matches(const struct rules *rules, const char *text)
{
	union any_address a = address(text);

	return rules_match_address(rules, &a.any);
}

/* ---- what is written ---- */

static const struct {
	const char *text;
	enum rule_kind kind;
	struct wide first, last;
} good[] = {
	{"192.0.2.7", RULE_IPV4, {0, 0xc0000207}, {0, 0xc0000207}},
	{"192.0.2.7/32", RULE_IPV4, {0, 0xc0000207}, {0, 0xc0000207}},
	{"10.0.0.0/8", RULE_IPV4, {0, 0x0a000000}, {0, 0x0affffff}},
	{"10.128.0.0/9", RULE_IPV4, {0, 0x0a800000}, {0, 0x0affffff}},
	{"192.0.2.6/31", RULE_IPV4, {0, 0xc0000206}, {0, 0xc0000207}},
	{"0.0.0.0/0", RULE_IPV4, {0, 0}, {0, 0xffffffff}},
	{"255.255.255.255", RULE_IPV4, {0, 0xffffffff}, {0, 0xffffffff}},
	{"::1", RULE_IPV6, {0, 1}, {0, 1}},
	{"2001:db8::/32",
	 RULE_IPV6,
	 {0x20010db800000000, 0},
	 {0x20010db8ffffffff, 0xffffffffffffffff}},
	{"2001:DB8:0:0:0:0:0:0/32",
	 RULE_IPV6,
	 {0x20010db800000000, 0},
	 {0x20010db8ffffffff, 0xffffffffffffffff}},
	{"2001:db8::/64",
	 RULE_IPV6,
	 {0x20010db800000000, 0},
	 {0x20010db800000000, 0xffffffffffffffff}},
	{"2001:db8::8000:0:0:0/65",
	 RULE_IPV6,
	 {0x20010db800000000, 0x8000000000000000},
	 {0x20010db800000000, 0xffffffffffffffff}},
	{"8000::/1", RULE_IPV6, {0x8000000000000000, 0}, {UINT64_MAX, UINT64_MAX}},
	{"::/0", RULE_IPV6, {0, 0}, {UINT64_MAX, UINT64_MAX}},
	{"::/1", RULE_IPV6, {0, 0}, {0x7fffffffffffffff, UINT64_MAX}},
	{"::192.0.2.7", RULE_IPV6, {0, 0xc0000207}, {0, 0xc0000207}},
	/* how a socket of both families writes an IPv4 address */
	{"::ffff:192.0.2.7", RULE_IPV4, {0, 0xc0000207}, {0, 0xc0000207}},
	{"::FFFF:c000:0207", RULE_IPV4, {0, 0xc0000207}, {0, 0xc0000207}},
	{"::ffff:10.0.0.0/104", RULE_IPV4, {0, 0x0a000000}, {0, 0x0affffff}},
	{"::ffff:0.0.0.0/96", RULE_IPV4, {0, 0}, {0, 0xffffffff}},
};

START_TEST(test_good)
{
	struct rule rule = parsed(good[_i].text);

	ck_assert_int_eq(rule.kind, good[_i].kind);
	ck_assert_uint_eq(rule.first.high, good[_i].first.high);
	ck_assert_uint_eq(rule.first.low, good[_i].first.low);
	ck_assert_uint_eq(rule.last.high, good[_i].last.high);
	ck_assert_uint_eq(rule.last.low, good[_i].last.low);
	ck_assert_ptr_null(rule.name);
}
END_TEST

#define ANYTHING                                                                            \
	"an address or a network as in 192.0.2.7, 10.0.0.0/8, 2001:db8::/32, or uid:NAME, " \
	"gid:NAME"
#define BITS4 "a number of bits from 0 to 32 behind the /, as in 10.0.0.0/24"
#define BITS6 "a number of bits from 0 to 128 behind the /, as in 2001:db8::/64"

static const struct {
	const char *text, *why;
} bad[] = {
	{"", ANYTHING},
	{"/", ANYTHING},
	{"/8", ANYTHING},
	{" 10.0.0.1", ANYTHING},
	{"10.0.0.1 ", ANYTHING},
	{"10.0.0", ANYTHING},
	{"10.", ANYTHING},
	{"10/8", ANYTHING},
	{"10.0.0.256", ANYTHING},
	{"010.0.0.1", ANYTHING},
	{"0x0a.0.0.1", ANYTHING},
	{"localhost", ANYTHING},
	{"*", ANYTHING},
	{"[::1]", ANYTHING},
	{"::1::", ANYTHING},
	{"user:root", ANYTHING},
	{"a name that is longer than any address could ever be, whatever its form", ANYTHING},
	{"10.0.0.0/", BITS4},
	{"10.0.0.0/33", BITS4},
	{"10.0.0.0/-1", BITS4},
	{"10.0.0.0/+8", BITS4},
	{"10.0.0.0/8/8", BITS4},
	{"10.0.0.0/255.0.255.0", BITS4},
	{"2001:db8::/129", BITS6},
	{"2001:db8::/ffff::", BITS6},
	{"10.0.0.0/255.0.0.0", "the number of bits: 10.0.0.0/8"},
	{"10.0.0.0/255.255.255.255", "the number of bits: 10.0.0.0"},
	{"10.0.0.0/0.0.0.0", "the number of bits: 10.0.0.0/0"},
	{"fe80::1%eth0", "no %SCOPE: a rule is about the address on every interface"},
	{"uid:", "a name or a number behind uid:"},
	{"gid:", "a name or a number behind gid:"},
	/* bits behind the network's: both that could be meant are told */
	{"10.0.0.1/8", "10.0.0.0/8 for the network, or 10.0.0.1 for the one address"},
	{"192.0.2.7/31", "192.0.2.6/31 for the network, or 192.0.2.7 for the one address"},
	{"10.0.0.1/0", "0.0.0.0/0 for the network, or 10.0.0.1 for the one address"},
	{"2001:db8::1/32", "2001:db8::/32 for the network, or 2001:db8::1 for the one address"},
	{"2001:db8::1/64", "2001:db8::/64 for the network, or 2001:db8::1 for the one address"},
	{"2001:db8::3/127", "2001:db8::2/127 for the network, or 2001:db8::3 for the one address"},
	{"::ffff:10.0.0.1/104", "10.0.0.0/8 for the network, or 10.0.0.1 for the one address"},
	{"::ffff:10.0.0.0/8", "::/8 for the network, or ::ffff:10.0.0.0 for the one address"},
};

START_TEST(test_bad)
{
	struct rule rule;
	char why[RULE_WHY_MAX] = "";

	ck_assert_msg(rule_parse(bad[_i].text, &rule, why) == -1, "%s", bad[_i].text);
	ck_assert_str_eq(why, bad[_i].why);
}
END_TEST

START_TEST(test_names)
{
	ck_assert_int_eq(parsed("uid:www-data").kind, RULE_USER);
	ck_assert_str_eq(parsed("uid:www-data").name, "www-data");
	ck_assert_int_eq(parsed("gid:1000").kind, RULE_GROUP);
	ck_assert_str_eq(parsed("gid:1000").name, "1000");
}
END_TEST

/* ---- who matches ---- */

static const struct {
	const char *rules, *in, *out;
} sets[] = {
	{"10.0.0.0/8", "10.0.0.0 10.255.255.255 10.1.2.3", "9.255.255.255 11.0.0.0 0.0.0.0"},
	{"0.0.0.0/0", "0.0.0.0 255.255.255.255 127.0.0.1", ":: ::1 ::ffff:10.0.0.1"},
	{"::/0", ":: ::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "0.0.0.0 10.0.0.1"},
	{"::1", "::1", "0.0.0.1 :: ::2 8000::1"},
	{"2001:db8::/32 10.0.0.1", "2001:db8:ffff:: 10.0.0.1",
	 "2001:db9:: 10.0.0.2 2001:db7:ffff::"},
	{"::ffff:10.0.0.0/104", "10.9.8.7", "11.0.0.0 ::a09:807"},
	{"10.0.0.1 10.0.0.3 10.0.0.5", "10.0.0.1 10.0.0.3 10.0.0.5",
	 "10.0.0.0 10.0.0.2 10.0.0.4 10.0.0.6"},
	{"255.255.255.255 0.0.0.0", "255.255.255.255 0.0.0.0", "255.255.255.254 0.0.0.1"},
	{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ::",
	 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe ::1"},
};

static void each_is(const struct rules *rules, const char *text, bool expected)
{
	char *copy = strdup(text), *state = NULL;

	for (char *word = strtok_r(copy, " ", &state); word; word = strtok_r(NULL, " ", &state))
		ck_assert_msg(matches(rules, word) == expected, "%s", word);
	free(copy);
}

START_TEST(test_sets)
{
	struct rules *rules = rules_of(sets[_i].rules);

	each_is(rules, sets[_i].in, true);
	each_is(rules, sets[_i].out, false);
	free(rules);
}
END_TEST

static const struct {
	const char *rules;
	size_t ipv4, ipv6;
	const char *first, *last; /* what the first range begins and ends with */
} merged[] = {
	{"10.0.0.0/8 10.1.0.0/16 10.255.255.255", 1, 0, "10.0.0.0", "10.255.255.255"},
	{"10.0.0.0/9 10.128.0.0/9", 1, 0, "10.0.0.0", "10.255.255.255"},
	{"10.0.0.2 10.0.0.1 10.0.0.3", 1, 0, "10.0.0.1", "10.0.0.3"},
	{"10.0.0.1 10.0.0.3", 2, 0, "10.0.0.1", "10.0.0.1"},
	{"10.0.0.1 10.0.0.1 10.0.0.1", 1, 0, "10.0.0.1", "10.0.0.1"},
	{"0.0.0.0/1 128.0.0.0/1", 1, 0, "0.0.0.0", "255.255.255.255"},
	{"255.255.255.255 ::", 1, 1, "255.255.255.255", "255.255.255.255"},
	/* over the border of the words that it is made of */
	{"::ffff:ffff:ffff:ffff 0:0:0:1::", 0, 1, NULL, NULL},
	{"::ffff:ffff:ffff:fffe 0:0:0:1::", 0, 2, NULL, NULL},
	{"::/1 8000::/1 ::1", 0, 1, NULL, NULL},
};

START_TEST(test_merging)
{
	struct rules *rules = rules_of(merged[_i].rules);
	struct rule range;

	ck_assert_uint_eq(rules_count(rules, RULE_IPV4), merged[_i].ipv4);
	ck_assert_uint_eq(rules_count(rules, RULE_IPV6), merged[_i].ipv6);
	if (merged[_i].first) {
		range = rules_range(rules, RULE_IPV4, 0);
		ck_assert_uint_eq(range.first.low,
				  ntohl(address(merged[_i].first).in.sin_addr.s_addr));
		ck_assert_uint_eq(range.last.low,
				  ntohl(address(merged[_i].last).in.sin_addr.s_addr));
	}
	free(rules);
}
END_TEST

START_TEST(test_none)
{
	union any_address nowhere = {.any = {.sa_family = AF_UNIX}};
	struct rules *everybody = rules_of("0.0.0.0/0 ::/0");

	ck_assert_ptr_null(rules_make(NULL, 0));
	ck_assert(!matches(NULL, "10.0.0.1") && !matches(NULL, "::1"));
	ck_assert(!rules_match_user(NULL, 0, 0));
	ck_assert(!rules_has_users(NULL));
	ck_assert_uint_eq(rules_size(NULL), 0);
	ck_assert(!rules_match_address(everybody, &nowhere.any));
	ck_assert(!rules_has_users(everybody));
	ck_assert(!rules_match_user(everybody, 0, 0));
	free(everybody);
}
END_TEST

START_TEST(test_users)
{
	struct rule list[] = {
		{.kind = RULE_USER, .first = {0, 1000}, .last = {0, 1000}},
		{.kind = RULE_GROUP, .first = {0, 50}, .last = {0, 50}},
		{.kind = RULE_USER, .first = {0, 0}, .last = {0, 0}},
		{.kind = RULE_IPV4, .first = {0, 7}, .last = {0, 7}},
		{.kind = RULE_USER, .first = {0, UINT32_MAX - 1}, .last = {0, UINT32_MAX - 1}},
	};
	struct rules *rules = rules_make(list, COUNT(list));

	ck_assert(rules_has_users(rules));
	ck_assert(rules_match_user(rules, 1000, 1));
	ck_assert(rules_match_user(rules, 0, 1));
	ck_assert(rules_match_user(rules, UINT32_MAX - 1, 1));
	ck_assert(rules_match_user(rules, 1, 50));
	ck_assert(!rules_match_user(rules, 50, 1000));
	ck_assert(!rules_match_user(rules, 7, 7));
	ck_assert(matches(rules, "0.0.0.7") && !matches(rules, "0.0.3.232"));
	free(rules);
}
END_TEST

/* ---- against the plain way ---- */

#define RULES_TRIED 60
#define LOOKUPS     4000

/* Few bits that differ, so that rules lie side by side and in one another. */
static struct wide some_number(bool is_ipv4, unsigned *seed)
{
	uint64_t low = (uint64_t)(rand_r(seed) % 512) << (rand_r(seed) % 3 ? 0 : 20);

	if (is_ipv4)
		return (struct wide){0, low | (rand_r(seed) % 8 ? 0 : 0xffffff00)};
	if (rand_r(seed) % 4 == 0)
		return (struct wide){low, rand_r(seed) % 2 ? UINT64_MAX - low : low};
	return (struct wide){(uint64_t)(rand_r(seed) % 3),
			     rand_r(seed) % 2 ? low : UINT64_MAX - low};
}

static bool is_below(struct wide a, struct wide b)
{
	return a.high < b.high || (a.high == b.high && a.low < b.low);
}

static struct rule some_rule(unsigned *seed)
{
	bool is_ipv4 = rand_r(seed) % 2;
	struct rule rule = {.kind = is_ipv4 ? RULE_IPV4 : RULE_IPV6};
	struct wide a = some_number(is_ipv4, seed), b = some_number(is_ipv4, seed);

	if (rand_r(seed) % 2)
		b = a;
	rule.first = is_below(b, a) ? b : a;
	rule.last = is_below(b, a) ? a : b;
	return rule;
}

static bool is_in(const struct rule *list, size_t count, enum rule_kind kind, struct wide n)
{
	for (size_t i = 0; i < count; i++)
		if (list[i].kind == kind && !is_below(n, list[i].first) &&
		    !is_below(list[i].last, n))
			return true;
	return false;
}

static bool lookup(const struct rules *rules, bool is_ipv4, struct wide n)
{
	union any_address a = {.any = {.sa_family = is_ipv4 ? AF_INET : AF_INET6}};

	if (is_ipv4)
		a.in.sin_addr.s_addr = htonl((uint32_t)n.low);
	for (unsigned i = 0; i < 8 && !is_ipv4; i++) {
		a.in6.sin6_addr.s6_addr[i] = (unsigned char)(n.high >> (56 - 8 * i));
		a.in6.sin6_addr.s6_addr[i + 8] = (unsigned char)(n.low >> (56 - 8 * i));
	}
	return rules_match_address(rules, &a.any);
}

START_TEST(test_against_each_rule)
{
	unsigned seed = (unsigned)_i;
	size_t count = 1 + (size_t)rand_r(&seed) % RULES_TRIED;
	struct rule list[RULES_TRIED], sorted[RULES_TRIED];
	struct rules *rules;

	for (size_t i = 0; i < count; i++)
		list[i] = some_rule(&seed);
	memcpy(sorted, list, sizeof(sorted));
	rules = rules_make(sorted, count);
	for (int i = 0; i < LOOKUPS; i++) {
		bool is_ipv4 = rand_r(&seed) % 2;
		struct wide n = some_number(is_ipv4, &seed);
		bool expected = is_in(list, count, is_ipv4 ? RULE_IPV4 : RULE_IPV6, n);

		ck_assert_msg(lookup(rules, is_ipv4, n) == expected, "seed %d, %s %llx:%llx", _i,
			      is_ipv4 ? "IPv4" : "IPv6", (unsigned long long)n.high,
			      (unsigned long long)n.low);
	}
	for (size_t i = 0; i < count; i++) {
		ck_assert(lookup(rules, list[i].kind == RULE_IPV4, list[i].first));
		ck_assert(lookup(rules, list[i].kind == RULE_IPV4, list[i].last));
	}
	free(rules);
}
END_TEST

/* ---- as bytes ---- */

START_TEST(test_copies)
{
	struct rules *rules = rules_of("10.0.0.0/8 192.0.2.7 2001:db8::/32 ::1 fe80::/64"), *copy;
	size_t size = rules_size(rules);
	char *bytes = malloc(size + 1);

	memcpy(bytes, rules, size);
	copy = rules_copy(bytes, size);
	ck_assert_ptr_nonnull(copy);
	ck_assert_mem_eq(copy, rules, size);
	ck_assert(matches(copy, "10.1.1.1") && matches(copy, "::1") && !matches(copy, "::2"));
	for (size_t n = 0; n < size; n++)
		ck_assert_ptr_null(rules_copy(bytes, n));
	ck_assert_ptr_null(rules_copy(bytes, size + 1));
	free(bytes);
	free(copy);
	free(rules);
}
END_TEST

static Suite *rules_suite(void)
{
	Suite *suite = suite_create("base_rules");
	TCase *text = tcase_create("text"), *set = tcase_create("set");

	tcase_add_loop_test(text, test_good, 0, COUNT(good));
	tcase_add_loop_test(text, test_bad, 0, COUNT(bad));
	tcase_add_test(text, test_names);
	suite_add_tcase(suite, text);
	tcase_add_loop_test(set, test_sets, 0, COUNT(sets));
	tcase_add_loop_test(set, test_merging, 0, COUNT(merged));
	tcase_add_test(set, test_none);
	tcase_add_test(set, test_users);
	tcase_add_loop_test(set, test_against_each_rule, 0, 100);
	tcase_add_test(set, test_copies);
	suite_add_tcase(suite, set);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(rules_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
