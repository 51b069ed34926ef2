/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/parse.h"
#include "board/layout.h"
#include "config/build.h"
#include "config/config.h"
#include "config/program.h"

struct resolve {
	struct error_list *errors;
	const struct passed *passed;
	struct service_config *service;
};

/* The number of a user or group given as a number; -1 is no id. */
static bool as_id(const char *text, uint64_t *id)
{
	return parse_uint(text, 0, UINT32_MAX - 1, id) == 0;
}

static int unknown(struct resolve *r, const char *key, const char *what, const char *name)
{
	error_list_add(r->errors, EX_CONFIG, "%s: there is no %s \"%s\" on this machine",
		       config_place(r->service, key), what, name);
	return -1;
}

static int find_group(struct resolve *r, const char *key, const char *name, gid_t *gid)
{
	/* cppcheck-suppress getgrnamCalled; one thread */
	const struct group *group = getgrnam(name);
	uint64_t id;

	if (group)
		*gid = group->gr_gid;
	else if (as_id(name, &id))
		*gid = (gid_t)id;
	else
		return unknown(r, key, "group", name);
	return 0;
}

/* The user's entry, or NULL with *uid set for a bare number, or -1. */
static int find_user(struct resolve *r, const char *key, const char *name, uid_t *uid,
		     const struct passwd **entry)
{
	uint64_t id;

	/* cppcheck-suppress getpwnamCalled; one thread */
	*entry = getpwnam(name);
	if (!*entry && as_id(name, &id)) {
		/* cppcheck-suppress getpwuidCalled; one thread */
		*entry = getpwuid((uid_t)id);
		*uid = (uid_t)id;
	} else if (!*entry) {
		return unknown(r, key, "user", name);
	}
	if (*entry)
		*uid = (*entry)->pw_uid;
	return 0;
}

static void find_groups(const struct passwd *entry, struct resolved_user *who)
{
	int count = 16;

	who->groups = mem_grow(NULL, (size_t)count, sizeof(gid_t));
	while (getgrouplist(entry->pw_name, who->gid, who->groups, &count) < 0)
		who->groups = mem_grow(who->groups, (size_t)count, sizeof(gid_t));
	who->group_count = (size_t)count;
}

static void note_entry(const struct passwd *entry, struct resolved_user *who)
{
	free(who->login);
	free(who->home);
	free(who->shell);
	who->login = mem_text(entry->pw_name);
	who->home = mem_text(entry->pw_dir);
	who->shell = mem_text(entry->pw_shell);
}

static void may_not(struct resolve *r, const char *key, const char *name)
{
	error_list_add(
		r->errors, EX_NOPERM,
		"%s: only root may change to \"%s\"; start preforkd as root, or leave it out",
		config_place(r->service, key), name);
}

static void resolve_user(struct resolve *r)
{
	struct service_config *s = r->service;
	struct resolved_user *who = &s->who;
	const struct passwd *entry = NULL;
	bool root = geteuid() == 0, found = true;

	if (*s->group && find_group(r, "group", s->group, &who->gid) < 0)
		found = false;
	if (*s->user && find_user(r, "user", s->user, &who->uid, &entry) < 0)
		found = false;
	if (!found)
		return;
	if (*s->user && !*s->group && !entry) {
		error_list_add(r->errors, EX_CONFIG,
			       "%s: %s has no entry on this machine, so group must be given",
			       config_place(s, "user"), s->user);
		return;
	}
	if (*s->user && !*s->group)
		who->gid = entry->pw_gid;
	if (entry)
		note_entry(entry, who);
	who->change_user = *s->user && (root || who->uid != geteuid());
	who->change_group = (*s->user || *s->group) && (root || who->gid != getegid());
	if (who->change_user && !root)
		may_not(r, "user", s->user);
	else if (who->change_group && !root)
		may_not(r, *s->group ? "group" : "user", *s->group ? s->group : s->user);
	if (who->change_user && entry)
		find_groups(entry, who);
}

static void resolve_socket_owner(struct resolve *r)
{
	struct service_config *s = r->service;
	const struct passwd *entry;

	if (*s->socket_user)
		find_user(r, "socket_user", s->socket_user, &s->who.socket_uid, &entry);
	if (*s->socket_group)
		find_group(r, "socket_group", s->socket_group, &s->who.socket_gid);
}

static void name_rule(struct resolve *r, const char *key, struct rule *rule)
{
	const struct passwd *entry;
	uid_t uid = 0;
	gid_t gid = 0;

	if (!rule->name)
		return;
	if (rule->kind == RULE_USER)
		find_user(r, key, rule->name, &uid, &entry);
	else
		find_group(r, key, rule->name, &gid);
	rule->first.low = rule->last.low = rule->kind == RULE_USER ? uid : gid;
}

static struct rules *resolve_rules(struct resolve *r, const char *key, const struct text_list *list)
{
	struct rule *parsed = mem_new(list->count, sizeof(*parsed));
	char why[RULE_WHY_MAX];
	struct rules *rules;
	size_t count = 0;

	/* What is wrong with the others was told. */
	for (size_t i = 0; i < list->count; i++)
		if (rule_parse(list->items[i], &parsed[count], why) == 0)
			name_rule(r, key, &parsed[count++]);
	rules = rules_make(parsed, count);
	free(parsed);
	return rules;
}

static void resolve_access(struct resolve *r)
{
	struct service_config *s = r->service;

	if (config_key_applies(s, "allow")) {
		s->allow_rules = resolve_rules(r, "allow", &s->allow);
		s->deny_rules = resolve_rules(r, "deny", &s->deny);
	}
	if (s->proxy_protocol != PROXY_OFF)
		s->proxy_rules = resolve_rules(r, "proxy_from", &s->proxy_from);
}

/* The names that were passed, for who looks for another one. */
static char *names_passed(const struct passed *passed)
{
	char *text = NULL;
	size_t size, shown = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	for (size_t i = 0; i < passed->count; i++)
		if (!passed->items[i].stored)
			fprintf(out, "%s\"%s\"", shown++ ? ", " : "it passed ",
				passed->items[i].name);
	if (shown == 0)
		fputs("it passed none; start the .socket unit", out);
	fclose(out);
	return text;
}

static bool is_among(const struct endpoint *endpoint, const struct endpoint *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (endpoint_equal(endpoint, &list[i]))
			return true;
	return false;
}

static int find_passed(const struct resolve *r, struct listen_on *on, struct error *err)
{
	const struct passed *passed = r->passed;
	const char *name = on->address.host;
	char *names;

	on->endpoints = mem_new(passed->count, sizeof(*on->endpoints));
	for (size_t i = 0; i < passed->count; i++) {
		const struct passed_socket *p = &passed->items[i];

		if (p->stored || strcmp(p->name, name) != 0)
			continue;
		if (p->wrong)
			return error_set(err, EX_CONFIG, "systemd://%s: %s", name, p->wrong);
		if (is_among(&p->bound, on->endpoints, on->endpoint_count))
			return error_set(err, EX_CONFIG,
					 "systemd://%s: two of its sockets are bound to the same "
					 "address (ReusePort= in the .socket unit?)",
					 name);
		on->endpoints[on->endpoint_count++] = p->bound;
	}
	if (on->endpoint_count > 0)
		return 0;
	names = names_passed(passed);
	error_set(err, EX_CONFIG, "systemd://%s: systemd passed no socket of that name (%s)", name,
		  names ? names : "out of memory");
	free(names);
	return -1;
}

/* Of systemd's sockets only now it is known what they are. */
static void check_passed(struct resolve *r, const struct listen_on *on, const char *text)
{
	for (size_t i = 0; i < on->endpoint_count; i++)
		check_reach(r->service, on->endpoints[i].addr.any.sa_family == AF_UNIX,
			    on->endpoints[i].type, text, r->errors);
}

static void resolve_addresses(struct resolve *r)
{
	struct service_config *s = r->service;
	struct error err;

	for (size_t i = 0; i < s->listen.count; i++) {
		struct listen_on *on = &s->addresses[i];
		int status = 0;

		if (on->valid && on->address.kind == ADDRESS_SYSTEMD)
			status = r->passed ? find_passed(r, on, &err) : 0;
		else if (on->valid)
			status = address_resolve_listen(&on->address, &on->endpoints,
							&on->endpoint_count, &err);
		if (status < 0)
			error_list_add(r->errors, err.code, "%s: %s", config_place(s, "listen"),
				       err.text);
		else if (on->address.kind == ADDRESS_SYSTEMD)
			check_passed(r, on, s->listen.items[i]);
	}
}

static void try_program(struct resolve *r, size_t errors_before)
{
	struct service_config *s = r->service;
	struct error err;

	/* What is wrong with who would execute it was told. */
	if (!config_program(s) || *config_program(s)->items[0] != '/' ||
	    r->errors->count > errors_before || (*s->chroot && geteuid() != 0))
		return;
	if (program_check(s, &err) < 0)
		error_list_add(r->errors, err.code, "%s: %s",
			       config_place(s, config_handler_key(s->kind)), err.text);
}

static void check_one_socket(const struct resolve *r)
{
	struct service_config *s = r->service;

	if (s->kind != HANDLER_ACCEPTOR || s->pass_as != PASS_AS_STDIN || s->listen.count != 1 ||
	    s->addresses[0].endpoint_count < 2)
		return;
	error_list_add(r->errors, EX_CONFIG, "%s: stdin is one socket, and \"%s\" is %zu",
		       config_place(s, "pass_as"), s->listen.items[0],
		       s->addresses[0].endpoint_count);
}

static bool is_port_zero(const struct endpoint *e)
{
	return (e->addr.any.sa_family == AF_INET && e->addr.in.sin_port == 0) ||
	       (e->addr.any.sa_family == AF_INET6 && e->addr.in6.sin6_port == 0);
}

/* Two listeners on one endpoint; a port that the kernel chooses is another each time, but not to be
 * told apart within a service. */
static void compare_endpoint(struct config *config, size_t service, const struct endpoint *one,
			     size_t until_service, size_t until_listen, struct error_list *errors)
{
	struct service_config *mine = &config->services[service];
	char text[ADDRESS_TEXT_MAX];

	for (size_t s = 0; s <= until_service; s++) {
		struct service_config *other = &config->services[s];
		size_t count = s == until_service ? until_listen : other->listen.count;

		for (size_t l = 0; l < count; l++)
			for (size_t e = 0; e < other->addresses[l].endpoint_count; e++) {
				if (!endpoint_equal(one, &other->addresses[l].endpoints[e]) ||
				    (is_port_zero(one) && s != service))
					continue;
				error_list_add(errors, EX_CONFIG,
					       "%s: %s is listened on by service \"%s\" already",
					       config_place(mine, "listen"),
					       endpoint_format(one, text), other->name);
				return;
			}
	}
}

static void find_duplicates(struct config *config, struct error_list *errors)
{
	for (size_t s = 0; s < config->service_count; s++)
		for (size_t l = 0; l < config->services[s].listen.count; l++) {
			const struct listen_on *on = &config->services[s].addresses[l];

			for (size_t e = 0; e < on->endpoint_count; e++)
				compare_endpoint(config, s, &on->endpoints[e], s, l, errors);
		}
}

/* A name with several addresses has workers for each; an acceptor's copies get all sockets. */
static uint64_t pools_of(const struct service_config *s)
{
	uint64_t pools = 0;

	for (size_t l = 0; l < s->listen.count; l++)
		pools += s->addresses[l].endpoint_count;
	return s->kind == HANDLER_ACCEPTOR && pools > 1 ? 1 : pools;
}

static void count_workers(const struct config *config, struct error_list *errors)
{
	uint64_t workers = 0;

	for (size_t s = 0; s < config->service_count; s++)
		workers += config->services[s].workers * pools_of(&config->services[s]);
	if (workers > BOARD_SLOTS / 2)
		error_list_add(errors, EX_CONFIG,
			       "all services together want %llu workers; at most %d are possible",
			       (unsigned long long)workers, BOARD_SLOTS / 2);
	else if (config->workers_total && workers > config->workers_total)
		error_list_add(
			errors, EX_CONFIG,
			"%s: %llu are fewer than the %llu workers that all services together "
			"begin with",
			config_place_of_key(config, "workers_total"),
			(unsigned long long)config->workers_total, (unsigned long long)workers);
}

int config_resolve(struct config *config, const struct passed *passed, struct error_list *errors)
{
	size_t before = errors->count;

	for (size_t i = 0; i < config->service_count; i++) {
		struct resolve r = {
			.errors = errors, .passed = passed, .service = &config->services[i]};

		size_t errors_before = errors->count;

		resolve_user(&r);
		try_program(&r, errors_before);
		resolve_socket_owner(&r);
		resolve_access(&r);
		resolve_addresses(&r);
		check_one_socket(&r);
	}
	find_duplicates(config, errors);
	count_workers(config, errors);
	return errors->count == before ? 0 : -1;
}
