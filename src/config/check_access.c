/* SPDX-License-Identifier: ISC */
/* Who is served: rules that cannot mean what was wanted. */
#include <config.h>

#include <string.h>
#include <sysexits.h>

#include "config/build.h"

static bool is_about_users(const char *text)
{
	return strncmp(text, "uid:", 4) == 0 || strncmp(text, "gid:", 4) == 0;
}

/* Whether a rule could match who comes to a Unix socket, or to another one. */
static bool may_match(const struct text_list *list, bool is_unix)
{
	for (size_t i = 0; i < list->count; i++)
		if (is_about_users(list->items[i]) == is_unix)
			return true;
	return false;
}

/* What else would help than one rule more. */
static const char *other_way(const struct service_config *service)
{
	if (!check_given(service, "allow"))
		return ", or allow = {} in this service to serve everybody";
	return service->listen.count > 1 ? ", or make two services of it" : "";
}

void check_reach(const struct service_config *service, bool is_unix, int type, const char *text,
		 struct error_list *errors)
{
	bool announced = service->proxy_protocol != PROXY_OFF && type != SOCK_DGRAM;

	if (service->kind == HANDLER_ACCEPTOR)
		return;
	if (announced && !is_unix && !may_match(&service->proxy_from, false))
		error_list_add(errors, EX_CONFIG,
			       "%s: missing; the proxies that proxy_protocol trusts at %s, as in "
			       "proxy_from = {\"192.0.2.7\"}",
			       config_place(service, "proxy_from"), text);
	/* What a proxy announces may be of another family. */
	if (announced || service->allow.count == 0 || may_match(&service->allow, is_unix))
		return;
	error_list_add(errors, EX_CONFIG,
		       "%s: nobody could come to %s, where %s are known and not %s; add %s%s",
		       config_place(service, "allow"), text, is_unix ? "users" : "addresses",
		       is_unix ? "addresses" : "users",
		       is_unix ? "uid:NAME or gid:NAME" : "a network as in 10.0.0.0/8",
		       other_way(service));
}

/* A default of all that a service cannot keep: the others may rely on it. */
static void check_acceptor(const struct service_config *service, const char *key,
			   const struct text_list *list, struct error_list *errors)
{
	if (list->count == 0 || check_given(service, key))
		return;
	error_list_add(errors, EX_CONFIG,
		       "%s: is a default of all services, and an acceptor's clients are not seen; "
		       "%s = {} in this service says that it is not for it",
		       config_place(service, key), key);
}

static void check_datagrams(const struct service_config *service, struct error_list *errors)
{
	if (service->proxy_protocol == PROXY_OFF || !check_given(service, "proxy_protocol"))
		return;
	for (size_t i = 0; i < service->listen.count; i++) {
		const struct listen_on *on = &service->addresses[i];

		if (!on->valid || on->address.type != SOCK_DGRAM)
			continue;
		error_list_add(errors, EX_CONFIG,
			       "%s: a datagram has no header before it; %s needs a service without",
			       config_place(service, "proxy_protocol"), service->listen.items[i]);
	}
}

void check_access(const struct service_config *service, struct error_list *errors)
{
	if (service->kind == HANDLER_ACCEPTOR) {
		check_acceptor(service, "allow", &service->allow, errors);
		check_acceptor(service, "deny", &service->deny, errors);
		return;
	}
	check_datagrams(service, errors);
	for (size_t i = 0; i < service->listen.count; i++) {
		const struct listen_on *on = &service->addresses[i];

		if (on->valid && on->address.kind != ADDRESS_SYSTEMD)
			check_reach(service, on->address.kind == ADDRESS_UNIX, on->address.type,
				    service->listen.items[i], errors);
	}
}
