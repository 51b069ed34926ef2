/* SPDX-License-Identifier: ISC */
/* The attributes of xinetd.conf(5), one by one. */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/parse.h"
#include "ctl/import_xinetd.h"

/* The longest that preforkd takes. */
#define BUSY_MESSAGE_MAX 4096

struct rule {
	const char *name;
	/* NULL: it is looked at elsewhere, or only its reason is noted. */
	void (*take)(struct xservice *service, const struct xattribute *attribute);
	const char *why; /* why it has no equivalent */
	bool adds;       /* += and -= are for it: what counts is xservice_set() */
};

static char *all_of(const struct xservice *service, const struct xattribute *attribute)
{
	return texts_join(&service->import->arena, &attribute->values);
}

static const char *first_of(const struct xattribute *attribute)
{
	return attribute->values.count ? attribute->values.items[0] : "";
}

/* What cannot be understood is left to who reads the output. */
static void note_bad(struct xservice *service, const struct xattribute *attribute)
{
	draft_note(service->draft, "not a value that preforkd has", "%s = %s", attribute->name,
		   all_of(service, attribute));
}

/* ---- limits ---- */

static void take_instances(struct xservice *service, const struct xattribute *attribute)
{
	const char *value = first_of(attribute);
	uint64_t most = 0;

	if (strcasecmp(value, "UNLIMITED") != 0 && parse_uint(value, 1, INT32_MAX, &most) < 0)
		note_bad(service, attribute);
	else
		draft_most(service->draft,
			   arena_format(&service->import->arena, "instances = %s", value), most);
}

static bool is_acceptor(const struct xservice *service)
{
	return *draft_value(service->draft, "acceptor") != '\0';
}

static void note_acceptor(struct xservice *service, const struct xattribute *attribute)
{
	draft_note(service->draft, "an acceptor takes its clients itself", "%s = %s",
		   attribute->name, all_of(service, attribute));
}

static void take_per_source(struct xservice *service, const struct xattribute *attribute)
{
	const char *value = first_of(attribute);
	uint64_t most = 0;

	if (strcasecmp(value, "UNLIMITED") != 0 && parse_uint(value, 1, INT32_MAX, &most) < 0)
		note_bad(service, attribute);
	else
		draft_per_source(service->draft,
				 arena_format(&service->import->arena, "per_source = %s", value),
				 most);
}

static void take_cps(struct xservice *service, const struct xattribute *attribute)
{
	uint64_t count, pause;

	if (attribute->values.count != 2 || parse_uint(first_of(attribute), 1, INT32_MAX, &count) ||
	    parse_uint(attribute->values.items[1], 0, INT32_MAX, &pause)) {
		note_bad(service, attribute);
		return;
	}
	if (draft_rate(
		    service->draft, "rate",
		    arena_format(&service->import->arena, "cps = %s", all_of(service, attribute)),
		    count, USEC_PER_SEC))
		draft_remark(service->draft, "rate",
			     "more than these wait, where xinetd would switch the service off for "
			     "%" PRIu64 " s",
			     pause);
}

/* ---- the process ---- */

static void take_nice(struct xservice *service, const struct xattribute *attribute)
{
	const char *value = first_of(attribute), *digits = value + (*value == '-');
	uint64_t number;

	if (parse_uint(digits, 0, *value == '-' ? 20 : 19, &number) < 0)
		note_bad(service, attribute);
	else
		draft_set(service->draft, "nice", "%s", value);
}

static void take_umask(struct xservice *service, const struct xattribute *attribute)
{
	unsigned mode;

	if (parse_mode(first_of(attribute), &mode) < 0)
		note_bad(service, attribute);
	else
		draft_set(service->draft, "umask", "%04o", mode);
}

/* 8M, 64K or a number; preforkd's suffixes are large letters. */
static bool read_size(const char *text, uint64_t *bytes)
{
	char upper[32];

	if (strlen(text) >= sizeof(upper))
		return false;
	for (size_t i = 0; i <= strlen(text); i++)
		upper[i] = text[i] == 'k' ? 'K' : text[i] == 'm' ? 'M' : text[i];
	return parse_size(upper, bytes) == 0 && *bytes <= INT64_MAX;
}

static void take_limit(struct xservice *service, const struct xattribute *attribute)
{
	bool memory = strcmp(attribute->name, "rlimit_as") == 0;
	bool files = strcmp(attribute->name, "rlimit_files") == 0;
	const char *value = first_of(attribute);
	char text[PARSE_TEXT_MAX];
	uint64_t limit;

	if (strcasecmp(value, "UNLIMITED") == 0)
		draft_say(service->draft, "%s = %s: here it is that of the daemon", attribute->name,
			  value);
	else if (!read_size(value, &limit) || (!memory && limit > INT32_MAX) ||
		 (files && limit < 16) || limit < 1)
		note_bad(service, attribute);
	else if (memory)
		draft_set(service->draft, "limit_as", "%s", format_size(text, limit));
	else
		draft_set(service->draft, files ? "limit_nofile" : "limit_cpu", "%" PRIu64, limit);
}

static void take_env(struct xservice *service, const struct xattribute *attribute)
{
	struct texts set = xservice_set(service, "env");

	(void)attribute;
	for (size_t i = 0; i < set.count; i++) {
		if (*draft_value(service->draft, "builtin"))
			draft_note(service->draft, "a built-in has no environment", "env: %s",
				   set.items[i]);
		else if (strchr(set.items[i], '='))
			draft_add(service->draft, "environment", set.items[i]);
		else
			draft_note(service->draft, "not NAME=VALUE", "env: %s", set.items[i]);
	}
}

/* ---- who may connect ---- */

static void take_access_times(struct xservice *service, const struct xattribute *attribute)
{
	draft_note(service->draft, "no equivalent: a service is there at all times", "%s = %s",
		   attribute->name, all_of(service, attribute));
	draft_off(service->draft, "it was there at some times only, see below");
}

/* What is in the file now is what a client gets. */
static void take_banner_fail(struct xservice *service, const struct xattribute *attribute)
{
	char text[BUSY_MESSAGE_MAX + 2];
	FILE *file = is_acceptor(service) ? NULL : fopen(first_of(attribute), "re");
	size_t size = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

	if (file)
		fclose(file);
	text[size] = '\0';
	if (size == 0 || size > BUSY_MESSAGE_MAX || strlen(text) != size) {
		draft_note(service->draft, "see busy_message, which has the text itself", "%s = %s",
			   attribute->name, all_of(service, attribute));
		return;
	}
	draft_set(service->draft, "busy_message", "%s", text);
}

/* ---- the log ---- */

static void take_log_on_success(struct xservice *service, const struct xattribute *attribute)
{
	struct texts set = xservice_set(service, attribute->name);

	if (is_acceptor(service))
		note_acceptor(service, attribute);
	else if (set.count)
		draft_set(service->draft, "log_connections", "true");
	if (texts_have(&set, "USERID"))
		draft_note(service->draft, "no equivalent: nobody is asked by RFC 1413",
			   "%s USERID", attribute->name);
}

/* ---- flags ---- */

static void take_flag(struct xservice *service, const char *flag)
{
	static const struct {
		const char *flag, *why;
	} flags[] = {
		{"INTERCEPT", "no equivalent: datagrams go to the program as they come"},
		{"NORETRY", "no equivalent: a fork that fails is tried again, with pauses"},
		{"IDONLY", "no equivalent: nobody is asked by RFC 1413"},
		{"LABELED", "no equivalent: no SELinux context is taken from a connection"},
	};

	if (strcmp(flag, "IDONLY") == 0)
		draft_off(service->draft, "it was for clients with an ident server, see below");
	if (strcmp(flag, "NODELAY") == 0)
		draft_set(service->draft, "nodelay", "true");
	else if (strcmp(flag, "KEEPALIVE") == 0)
		draft_set(service->draft, "keepalive", "true");
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (strcmp(flag, flags[i].flag) == 0)
			draft_note(service->draft, flags[i].why, "flags = %s", flag);
}

/* Those that are not here: where it listens and what serves. */
static void take_flags(struct xservice *service, const struct xattribute *attribute)
{
	for (size_t i = 0; i < attribute->values.count; i++)
		take_flag(service, attribute->values.items[i]);
}

/* ---- all ---- */

#define BY_ITSELF "no equivalent"
#define LOG       "no equivalent: the log is the daemon's, that of refusals and failures too"

static const struct rule rules[] = {
	/* where it listens, what serves, whether it is enabled */
	{"id", NULL, NULL, false},
	{"type", NULL, NULL, false},
	{"disable", NULL, NULL, false},
	{"disabled", NULL, NULL, true},
	{"enabled", NULL, NULL, true},
	{"socket_type", NULL, NULL, false},
	{"protocol", NULL, NULL, false},
	{"wait", NULL, NULL, false},
	{"port", NULL, NULL, false},
	{"bind", NULL, NULL, false},
	{"interface", NULL, NULL, false},
	{"v6only", NULL, NULL, false},
	{"server", NULL, NULL, false},
	{"server_args", NULL, NULL, false},
	{"redirect", NULL, NULL, false},
	{"libwrap", NULL, NULL, false},
	{"user", NULL, NULL, false},
	{"group", NULL, NULL, false},
	/* the rest */
	{"flags", take_flags, NULL, false},
	{"groups", NULL, "a user has all groups that group(5) gives it", false},
	{"nice", take_nice, NULL, false},
	{"umask", take_umask, NULL, false},
	{"rlimit_as", take_limit, NULL, false},
	{"rlimit_cpu", take_limit, NULL, false},
	{"rlimit_files", take_limit, NULL, false},
	{"rlimit_data", NULL, "no equivalent; see limit_as", false},
	{"rlimit_rss", NULL, "no equivalent; see limit_as", false},
	{"rlimit_stack", NULL, "no equivalent; see limit_as", false},
	{"env", take_env, NULL, true},
	{"passenv", NULL, "no equivalent: a program has the environment of the daemon", true},
	{"only_from", xservice_take_only_from, NULL, true},
	{"no_access", xservice_take_no_access, NULL, true},
	{"access_times", take_access_times, NULL, false},
	{"instances", take_instances, NULL, false},
	{"per_source", take_per_source, NULL, false},
	{"cps", take_cps, NULL, false},
	{"max_load", NULL, "no equivalent: nothing switches a service off", false},
	{"log_type", NULL, LOG, false},
	{"log_on_success", take_log_on_success, NULL, true},
	{"log_on_failure", NULL, LOG, true},
	{"banner", NULL, "no equivalent: the program speaks first, or a script in front of it",
	 false},
	{"banner_success", NULL,
	 "no equivalent: the program speaks first, or a script in front of it", false},
	{"banner_fail", take_banner_fail, NULL, false},
	{"deny_time", NULL, "no equivalent: there are no sensors", false},
	{"mdns", NULL, "no equivalent: no service is announced", false},
	{"rpc_version", NULL, BY_ITSELF, false},
	{"rpc_number", NULL, BY_ITSELF, false},
};
#define RULES (sizeof(rules) / sizeof(rules[0]))

static const struct rule *rule_of(const char *name)
{
	for (size_t i = 0; i < RULES; i++)
		if (strcmp(rules[i].name, name) == 0)
			return &rules[i];
	return NULL;
}

static void note_rule(struct xservice *service, const struct rule *rule,
		      const struct xattribute *attribute)
{
	struct texts values = rule->adds ? xservice_set(service, rule->name) : attribute->values;

	draft_note(service->draft, rule->why, "%s = %s", rule->name,
		   texts_join(&service->import->arena, &values));
}

/* Two are names of the same. */
static const char *one_name(const char *name)
{
	return strcmp(name, "interface") == 0 ? "bind" : name;
}

/* What xinetd passes over: names that it does not know, and all but the first of a name. */
static void note_strays(struct xservice *service)
{
	const struct xentry *entry = service->entry;

	for (size_t i = 0; i < entry->count; i++) {
		const struct xattribute *attribute = &entry->attributes[i];
		const struct rule *rule = rule_of(attribute->name);

		if (!rule)
			draft_note(service->draft, "not an attribute of xinetd", "%s = %s",
				   attribute->name, all_of(service, attribute));
		else if (!rule->adds &&
			 xservice_find(service, one_name(attribute->name)) != attribute)
			draft_note(service->draft, "given before, which is what counts", "%s = %s",
				   attribute->name, all_of(service, attribute));
	}
}

void xservice_take_rest(struct xservice *service)
{
	for (size_t i = 0; i < RULES; i++) {
		const struct xattribute *attribute = xservice_find(service, rules[i].name);

		if (!attribute)
			continue;
		if (rules[i].take)
			rules[i].take(service, attribute);
		else if (rules[i].why)
			note_rule(service, &rules[i], attribute);
	}
	note_strays(service);
}
