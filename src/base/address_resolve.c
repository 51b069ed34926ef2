/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/address_scheme.h"

static int fail(const struct address *address, struct error *err, int code, const char *reason)
{
	const struct address_scheme *scheme = address_scheme_of(address->type, address->family);
	const char *name = scheme ? scheme->name : "?";

	if (address->kind != ADDRESS_INET)
		return error_set(err, code, "address \"%s://%s\": %s", name, address->host, reason);
	return error_set(err, code, "address \"%s://%s%s%s:%s\": %s", name,
			 address->bracketed ? "[" : "", address->host,
			 address->bracketed ? "]" : "", address->port, reason);
}

static bool machine_has_ipv6(void)
{
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0)
		close(fd);
	return fd >= 0 || errno != EAFNOSUPPORT;
}

static bool host_is_any(const struct address *address)
{
	return !address->bracketed && !strcmp(address->host, "*");
}

/* A dual-stack listener is there for IPv4 too, and so is one on a machine without IPv6: 127.0.0.1
 * reaches both. */
static int family_of_any(const struct address *address, bool listening)
{
	if (address->family != AF_UNSPEC)
		return address->family;
	return listening && machine_has_ipv6() ? AF_INET6 : AF_INET;
}

/* Returns what getaddrinfo(3) does. Without AI_ADDRCONFIG: a machine that has only its loopback
 * interface must work too. */
static int look_up(const struct address *address, bool listening, struct addrinfo **found)
{
	struct addrinfo hints = {.ai_socktype = address->type, .ai_family = address->family};
	const char *host = host_is_any(address) ? NULL : address->host;

	if (!host)
		hints.ai_family = family_of_any(address, listening);
	if (listening)
		hints.ai_flags |= AI_PASSIVE;
	if (address->bracketed || address_host_is_ipv4(address->host))
		hints.ai_flags |= AI_NUMERICHOST;
	if (address_port_is_number(address->port))
		hints.ai_flags |= AI_NUMERICSERV;
	return getaddrinfo(host, address->port, &hints, found);
}

static int fail_look_up(const struct address *address, struct error *err, int result)
{
	int saved = errno;
	const char *scope = strchr(address->host, '%'), *what = gai_strerror(result);
	char reason[2 * ADDRESS_HOST_MAX];

	if (result == EAI_SYSTEM)
		return fail(address, err, error_code_of(saved), strerror(saved));
	if (result == EAI_MEMORY)
		return fail(address, err, EX_OSERR, what);
	if (scope && !if_nametoindex(scope + 1))
		snprintf(reason, sizeof(reason), "there is no interface \"%s\"", scope + 1);
	else if (result == EAI_SERVICE)
		snprintf(reason, sizeof(reason), "port \"%s\" is not in /etc/services: %s",
			 address->port, what);
	else
		snprintf(reason, sizeof(reason), "host \"%s\": %s", address->host, what);
	return fail(address, err, EX_CONFIG, reason);
}

static void endpoint_from(struct endpoint *endpoint, const struct address *address,
			  const struct addrinfo *found)
{
	memset(endpoint, 0, sizeof(*endpoint));
	endpoint->type = address->type;
	endpoint->len = found->ai_addrlen;
	memcpy(&endpoint->addr, found->ai_addr, found->ai_addrlen);
	/* Only of a wildcard is it to be asked which families it takes. */
	if (found->ai_family == AF_INET6 &&
	    IN6_IS_ADDR_UNSPECIFIED(&endpoint->addr.in6.sin6_addr)) {
		endpoint->v6only = address->family == AF_INET6;
		endpoint->dual = !endpoint->v6only;
	}
}

static bool is_among(const struct endpoint *endpoint, const struct endpoint *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (endpoint_equal(endpoint, &list[i]))
			return true;
	return false;
}

static size_t collect(const struct address *address, const struct addrinfo *found,
		      struct endpoint *list)
{
	size_t count = 0;

	for (; found; found = found->ai_next) {
		if (found->ai_addrlen > sizeof(list->addr))
			continue;
		endpoint_from(&list[count], address, found);
		if (!is_among(&list[count], list, count))
			count++;
	}
	return count;
}

static int resolve_inet(const struct address *address, bool listening, struct endpoint **list,
			size_t *count, struct error *err)
{
	struct addrinfo *found = NULL;
	struct endpoint *endpoints;
	size_t most = 0;
	int result = look_up(address, listening, &found);

	if (result)
		return fail_look_up(address, err, result);
	for (const struct addrinfo *one = found; one; one = one->ai_next)
		most++;
	endpoints = calloc(most + 1, sizeof(*endpoints));
	if (endpoints) {
		*count = collect(address, found, endpoints);
		*list = endpoints;
	}
	freeaddrinfo(found);
	return endpoints ? 0 : fail(address, err, EX_OSERR, strerror(ENOMEM));
}

static int resolve_unix(const struct address *address, struct endpoint **list, size_t *count,
			struct error *err)
{
	struct endpoint *endpoint = calloc(1, sizeof(*endpoint));
	size_t length = strlen(address->host);
	bool abstract = address->host[0] == '@';

	if (!endpoint)
		return fail(address, err, EX_OSERR, strerror(ENOMEM));
	endpoint->type = address->type;
	endpoint->addr.un.sun_family = AF_UNIX;
	/* The length counts a path's NUL, and an abstract name's leading one in the @'s place. */
	memcpy(endpoint->addr.un.sun_path, address->host, length);
	if (abstract)
		endpoint->addr.un.sun_path[0] = '\0';
	endpoint->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + !abstract);
	*list = endpoint;
	*count = 1;
	return 0;
}

static int resolve(const struct address *address, bool listening, struct endpoint **list,
		   size_t *count, struct error *err)
{
	switch (address->kind) {
	case ADDRESS_INET:
		return resolve_inet(address, listening, list, count, err);
	case ADDRESS_UNIX:
		return resolve_unix(address, list, count, err);
	case ADDRESS_SYSTEMD:
		break;
	}
	return fail(address, err, EX_CONFIG,
		    listening ? "only systemd can open it" : "a client cannot connect to it");
}

int address_resolve_listen(const struct address *address, struct endpoint **list, size_t *count,
			   struct error *err)
{
	return resolve(address, true, list, count, err);
}

int address_resolve_connect(const struct address *address, struct endpoint **list, size_t *count,
			    struct error *err)
{
	return resolve(address, false, list, count, err);
}
