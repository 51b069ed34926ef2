/* SPDX-License-Identifier: ISC */
/* The keys of pools, access, limits and proxies: what they are when nobody says, which ones
 * contradict, and what is told about it. */
#include <config.h>

#include <grp.h>
#include <pwd.h>

#include "base/mem.h"
#include "test_config.h"

/* A configuration from words: `service NAME`, `KEY=VALUE` (before the first service: a default of
 * all), `KEY=A,B` for a list of two, `KEY={}` for an empty one. Ends with a NULL. */
typedef const char *const words[10];

static void add_word(struct entries *e, bool in_service, const char *word)
{
	const char *equals = strchr(word, '=');
	char *key = strndup(word, (size_t)(equals - word)), *values = strdup(equals + 1);
	char *state = NULL;
	struct entry *entry = entries_add(e, in_service ? ENTRY_SERVICE : ENTRY_GLOBAL, "f",
					  (int)e->count + 1, key);

	if (strcmp(values, "{}") != 0)
		for (char *v = strtok_r(values, ",", &state); v; v = strtok_r(NULL, ",", &state))
			entry_add_value(entry, v);
	free(key);
	free(values);
}

static struct entries *entries_of(words w)
{
	struct entries *e = entries_new();
	bool in_service = false;

	for (size_t i = 0; w[i]; i++) {
		if (strncmp(w[i], "service ", 8) == 0) {
			entries_add_service(e, w[i] + 8, "f", (int)e->count + 1);
			in_service = true;
		} else {
			add_word(e, in_service, w[i]);
		}
	}
	return e;
}

/* All that is wrong with them, look-ups included, in lines; empty: nothing. */
static char *mistakes_in(words w)
{
	struct error_list errors = {0};
	struct config *config = config_build(entries_of(w), &errors);
	char *text;

	config_resolve(config, NULL, &errors);
	text = errors.count ? error_list_join(&errors) : mem_text("");
	error_list_free(&errors);
	config_free(config);
	return text;
}

#define TCP(name)      "service " name, "listen=tcp://127.0.0.1:0", "builtin=echo"
#define UNIX(name)     "service " name, "listen=unix://@preforkd_test", "builtin=echo"
#define ACCEPTOR(name) "service " name, "listen=tcp://127.0.0.1:0", "acceptor=/bin/true"

/* ---- what is wrong ---- */

static const struct {
	words words;
	const char *text;
} wrong[] = {
	{{TCP("a"), "workers=5", "workers_max=4"},
	 "f:4: service \"a\": workers_max: 4 is less than workers, which is 5; the pool grows from "
	 "workers to workers_max"},
	{{"workers_max=4", TCP("a"), "workers=5"},
	 "f:2: service \"a\": workers_max: 4 is less than workers, which is 5; the pool grows from "
	 "workers to workers_max"},
	{{TCP("a"), "workers_max=0"},
	 "f:3: service \"a\": workers_max: \"0\" is not right here; expected a number from 1 to "
	 "8192"},
	{{TCP("a"), "workers_max=8", "spare=9"},
	 "f:4: service \"a\": spare: 9 is more than workers_max, which is 8"},
	{{ACCEPTOR("a"), "workers=0"},
	 "f:3: service \"a\": workers: an acceptor takes its clients itself, so that one copy must "
	 "be there; at least 1"},
	{{ACCEPTOR("a"), "workers_max=9"},
	 "f:3: service \"a\": workers_max: not for a service with acceptor: an acceptor has as "
	 "many "
	 "copies as workers says"},
	{{"workers_total=7", TCP("a"), "workers=5", "service b", "listen=tcp://127.0.0.1:0",
	  "builtin=echo", "workers=3"},
	 "f:1: workers_total: 7 are fewer than the 8 workers that all services together begin "
	 "with"},
	{{TCP("a"), "recycle_memory=1000K"},
	 "f:3: service \"a\": recycle_memory: \"1000K\" is not right here; expected at least 1M, "
	 "or "
	 "0"},
	{{TCP("a"), "recycle_memory=1.5M"},
	 "f:3: service \"a\": recycle_memory: \"1.5M\" is not right here; expected a size as in "
	 "64K, 10M, 2G, or 0"},
	{{"service a", "listen=tcp://127.0.0.1:0", "exec=/bin/true", "recycle_memory=2M"},
	 "f:3: service \"a\": recycle_memory: not for a service with exec: a program has its "
	 "memory "
	 "in a process of its own; see limit_as"},
	/* rates */
	{{TCP("a"), "rate=100"},
	 "f:3: service \"a\": rate: \"100\" is not right here; expected a rate as in 100/s, 600/m, "
	 "10/h, or 0"},
	{{TCP("a"), "rate_per_source=1/d"},
	 "f:3: service \"a\": rate_per_source: \"1/d\" is not right here; expected a rate as in "
	 "100/s, 600/m, 10/h, or 0"},
	{{TCP("a"), "rate=1000001/s"},
	 "f:3: service \"a\": rate: \"1000001/s\" is not right here; expected at most 1000000/s, "
	 "or "
	 "0 for no limit"},
	{{TCP("a"), "rate=60000001/m"},
	 "f:3: service \"a\": rate: \"60000001/m\" is not right here; expected at most 1000000/s, "
	 "or 0 for no limit"},
	/* rules: each that is wrong, where it stands */
	{{TCP("a"), "allow=10.0.0.0/8,192.0.2.1/24,2001:db8::1/32,nobody"},
	 "f:3: service \"a\": allow: \"192.0.2.1/24\" is not right here; expected 192.0.2.0/24 for "
	 "the network, or 192.0.2.1 for the one address\n"
	 "f:3: service \"a\": allow: \"2001:db8::1/32\" is not right here; expected 2001:db8::/32 "
	 "for the network, or 2001:db8::1 for the one address\n"
	 "f:3: service \"a\": allow: \"nobody\" is not right here; expected an address or a "
	 "network "
	 "as in 192.0.2.7, 10.0.0.0/8, 2001:db8::/32, or uid:NAME, gid:NAME"},
	{{"deny=10.0.0.1/8", TCP("a"), UNIX("b")},
	 "f:1: deny: \"10.0.0.1/8\" is not right here; expected 10.0.0.0/8 for the network, or "
	 "10.0.0.1 for the one address"},
	{{UNIX("a"), "allow=uid:no-such-user,gid:no-such-group,uid:4294967295"},
	 "f:3: service \"a\": allow: there is no user \"no-such-user\" on this machine\n"
	 "f:3: service \"a\": allow: there is no group \"no-such-group\" on this machine\n"
	 "f:3: service \"a\": allow: there is no user \"4294967295\" on this machine"},
	{{UNIX("a"), "deny=uid:no-such-user"},
	 "f:3: service \"a\": deny: there is no user \"no-such-user\" on this machine"},
	/* nobody could come */
	{{TCP("a"), "allow=uid:0,gid:0"},
	 "f:3: service \"a\": allow: nobody could come to tcp://127.0.0.1:0, where addresses are "
	 "known and not users; add a network as in 10.0.0.0/8"},
	{{UNIX("a"), "allow=0.0.0.0/0,::/0"},
	 "f:3: service \"a\": allow: nobody could come to unix://@preforkd_test, where users are "
	 "known and not addresses; add uid:NAME or gid:NAME"},
	{{"service a", "builtin=echo", "listen=tcp://127.0.0.1:0,unix://@preforkd_test",
	  "allow=10.0.0.0/8"},
	 "f:3: service \"a\": allow: nobody could come to unix://@preforkd_test, where users are "
	 "known and not addresses; add uid:NAME or gid:NAME, or make two services of it"},
	{{"allow=10.0.0.0/8", UNIX("a")},
	 "f:2: service \"a\": allow: nobody could come to unix://@preforkd_test, where users are "
	 "known and not addresses; add uid:NAME or gid:NAME, or allow = {} in this service to "
	 "serve "
	 "everybody"},
	/* acceptors see to themselves, but nobody is to think that they were protected */
	{{ACCEPTOR("a"), "allow=10.0.0.0/8"},
	 "f:3: service \"a\": allow: not for a service with acceptor: an acceptor's clients are "
	 "not "
	 "seen; a firewall or its program can refuse"},
	{{"deny=10.0.0.0/8", ACCEPTOR("a")},
	 "f:2: service \"a\": deny: is a default of all services, and an acceptor's clients are "
	 "not "
	 "seen; deny = {} in this service says that it is not for it"},
	{{ACCEPTOR("a"), "per_source=3"},
	 "f:3: service \"a\": per_source: not for a service with acceptor: an acceptor's clients "
	 "are not seen"},
	/* proxies */
	{{TCP("a"), "proxy_protocol=yes"},
	 "f:3: service \"a\": proxy_protocol: \"yes\" is not right here; expected one of off, "
	 "accept, require"},
	{{TCP("a"), "proxy_protocol=accept"},
	 "f:1: service \"a\": proxy_from: missing; the proxies that proxy_protocol trusts at "
	 "tcp://127.0.0.1:0, as in proxy_from = {\"192.0.2.7\"}"},
	{{TCP("a"), "proxy_protocol=require", "proxy_from=uid:0"},
	 "f:4: service \"a\": proxy_from: missing; the proxies that proxy_protocol trusts at "
	 "tcp://127.0.0.1:0, as in proxy_from = {\"192.0.2.7\"}"},
	{{"service a", "listen=udp://127.0.0.1:0", "builtin=echo", "proxy_protocol=require",
	  "proxy_from=127.0.0.1"},
	 "f:3: service \"a\": proxy_protocol: a datagram has no header before it; "
	 "udp://127.0.0.1:0 needs a service without"},
	{{ACCEPTOR("a"), "proxy_protocol=require", "proxy_from=127.0.0.1"},
	 "f:3: service \"a\": proxy_protocol: not for a service with acceptor: an acceptor's "
	 "clients are not seen; its program reads the header\n"
	 "f:4: service \"a\": proxy_from: not for a service with acceptor: an acceptor's clients "
	 "are not seen; its program reads the header"},
	{{TCP("a"), "workers_total=4"},
	 "f:3: service \"a\": workers_total: belongs outside of the services: it is the daemon's "
	 "own"},
};

START_TEST(test_wrong)
{
	char *text = mistakes_in(wrong[_i].words);

	ck_assert_str_eq(text, wrong[_i].text);
	free(text);
}
END_TEST

START_TEST(test_too_long_a_message)
{
	char *word = mem_format("busy_message=%04097d", 0);
	words w = {TCP("a"), word};
	char *text = mistakes_in(w);

	ck_assert_ptr_nonnull(strstr(text, "expected at most 4096 characters"));
	free(text);
	free(word);
}
END_TEST

/* ---- what is right ---- */

static const words right[] = {
	{TCP("a"), "allow=10.0.0.0/8,::1", "deny=10.1.1.1"},
	{UNIX("a"), "allow=uid:0,gid:0,10.0.0.0/8"},
	{"allow=uid:0,127.0.0.1", TCP("a"), UNIX("b")},
	{"allow=10.0.0.0/8", ACCEPTOR("a"), "allow={}"},
	{"deny=uid:0", TCP("a")},
	{TCP("a"), "proxy_protocol=require", "proxy_from=192.0.2.7"},
	{UNIX("a"), "proxy_protocol=require"},
	{UNIX("a"), "proxy_protocol=accept", "proxy_from=uid:0"},
	/* a proxy announces addresses on a Unix socket, too */
	{UNIX("a"), "proxy_protocol=require", "allow=10.0.0.0/8"},
	/* a default reaches those it is for */
	{"proxy_protocol=require", "proxy_from=127.0.0.1", "service a", "listen=udp://127.0.0.1:0",
	 "builtin=echo"},
	{"proxy_protocol=require", "proxy_from=127.0.0.1", "per_source=4", "rate=10/s",
	 ACCEPTOR("a")},
	{TCP("a"), "workers=0"},
	{TCP("a"), "workers=0", "spare=0", "workers_max=1"},
	{TCP("a"), "rate=1000000/s", "rate_per_source=3600000000/h"},
	{"workers_total=4", TCP("a")},
	{TCP("a"), "connection_timeout=5s"},
};

START_TEST(test_right)
{
	char *text = mistakes_in(right[_i]);

	ck_assert_str_eq(text, "");
	free(text);
}
END_TEST

static const struct {
	words words;
	uint64_t workers, max, spare;
} pools[] = {
	{{TCP("a")}, 4, 64, 2},
	{{TCP("a"), "workers=8"}, 8, 8, 2},
	{{TCP("a"), "workers=1"}, 1, 1, 1},
	{{TCP("a"), "workers=100"}, 100, 100, 2},
	{{TCP("a"), "workers=0"}, 0, 64, 2},
	{{TCP("a"), "workers_max=16"}, 4, 16, 2},
	{{TCP("a"), "workers_max=3"}, 3, 3, 2},
	{{TCP("a"), "workers_max=1"}, 1, 1, 1},
	{{TCP("a"), "workers=2", "workers_max=64"}, 2, 64, 2},
	{{TCP("a"), "workers=0", "workers_max=10", "spare=0"}, 0, 10, 0},
	{{"workers=9", TCP("a")}, 9, 9, 2},
	{{"workers=9", TCP("a"), "workers=3"}, 3, 3, 2},
	{{"workers_max=9", TCP("a"), "workers=3"}, 3, 9, 2},
	{{"spare=20", TCP("a"), "workers_max=10"}, 4, 10, 10},
	{{"workers=0", "workers_max=9", TCP("a")}, 0, 9, 2},
	{{ACCEPTOR("a")}, 4, 4, 0},
	{{"workers_max=30", ACCEPTOR("a"), "workers=6"}, 6, 6, 0},
};

START_TEST(test_pools)
{
	struct config *config = build(entries_of(pools[_i].words));
	const struct service_config *s = &config->services[0];

	ck_assert_uint_eq(s->workers, pools[_i].workers);
	ck_assert_uint_eq(s->workers_max, pools[_i].max);
	ck_assert_uint_eq(s->spare, pools[_i].spare);
	config_free(config);
}
END_TEST

START_TEST(test_nothing_is_limited_by_default)
{
	words w = {TCP("a")};
	struct error_list errors = {0};
	struct config *config = build(entries_of(w));
	const struct service_config *s = &config->services[0];

	ck_assert_int_eq(config_resolve(config, NULL, &errors), 0);
	ck_assert_ptr_null(s->allow_rules);
	ck_assert_ptr_null(s->deny_rules);
	ck_assert_ptr_null(s->proxy_rules);
	ck_assert(s->proxy_protocol == PROXY_OFF && s->per_source == 0 && s->rate.count == 0 &&
		  s->rate_per_source.count == 0 && s->queue_timeout == 0 &&
		  s->recycle_memory == 0 && config->workers_total == 0);
	ck_assert_str_eq(s->busy_message, "");
	ck_assert_uint_eq(s->shrink_after, 60000000);
	config_free(config);
}
END_TEST

/* ---- who is meant ---- */

START_TEST(test_names_are_looked_up)
{
	const struct passwd *user = getpwuid(0);
	const struct group *group = getgrgid(0);
	char *allow = mem_format("allow=uid:%s,gid:12345", user->pw_name);
	char *deny = mem_format("deny=gid:%s,uid:54321", group->gr_name);
	words w = {UNIX("a"), allow, deny};
	struct error_list errors = {0};
	struct config *config = build(entries_of(w));
	const struct service_config *s = &config->services[0];

	ck_assert_int_eq(config_resolve(config, NULL, &errors), 0);
	ck_assert(rules_match_user(s->allow_rules, 0, 7));
	ck_assert(rules_match_user(s->allow_rules, 7, 12345));
	ck_assert(!rules_match_user(s->allow_rules, 12345, 7));
	ck_assert(rules_match_user(s->deny_rules, 7, 0));
	ck_assert(rules_match_user(s->deny_rules, 54321, 7));
	ck_assert(!rules_match_user(s->deny_rules, 7, 54321));
	free(allow);
	free(deny);
	config_free(config);
}
END_TEST

/* The name means another user by now. */
START_TEST(test_fingerprint_of_users)
{
	words w[] = {{UNIX("a"), "allow=uid:1"}, {UNIX("a"), "allow=uid:2"}};
	struct config *config[2];
	struct error_list errors = {0};
	struct service_config *s[2];
	char *before, *after;

	for (int i = 0; i < 2; i++) {
		config[i] = build(entries_of(w[i]));
		s[i] = &config[i]->services[0];
		ck_assert_int_eq(config_resolve(config[i], NULL, &errors), 0);
	}
	before = config_fingerprint(s[0]);
	free(s[0]->allow_rules);
	s[0]->allow_rules = s[1]->allow_rules;
	s[1]->allow_rules = NULL;
	after = config_fingerprint(s[0]);
	ck_assert_str_ne(before, after);
	free(before);
	free(after);
	config_free(config[0]);
	config_free(config[1]);
}
END_TEST

static Suite *config_access_suite(void)
{
	Suite *suite = suite_create("config_access");
	TCase *access = tcase_create("access");

	tcase_add_loop_test(access, test_wrong, 0, COUNT(wrong));
	tcase_add_test(access, test_too_long_a_message);
	tcase_add_loop_test(access, test_right, 0, COUNT(right));
	tcase_add_loop_test(access, test_pools, 0, COUNT(pools));
	tcase_add_test(access, test_nothing_is_limited_by_default);
	tcase_add_test(access, test_names_are_looked_up);
	tcase_add_test(access, test_fingerprint_of_users);
	suite_add_tcase(suite, access);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(config_access_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
