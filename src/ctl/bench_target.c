/* SPDX-License-Identifier: ISC */
/* Where the load goes: the address looked up once, and whether it is of this machine. */
#include <config.h>

#include <errno.h>
#include <ifaddrs.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "ctl/bench.h"

static bool is_loopback(const struct endpoint *endpoint)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} plain;

	memcpy(&plain, &endpoint->addr, sizeof(plain));
	address_unmap(&plain.any, endpoint->len);
	if (plain.any.sa_family == AF_INET)
		return ntohl(plain.in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return IN6_IS_ADDR_LOOPBACK(&plain.in6.sin6_addr);
}

static bool same_host(const struct endpoint *endpoint, const struct sockaddr *own)
{
	if (!own || own->sa_family != endpoint->addr.any.sa_family)
		return false;
	if (own->sa_family == AF_INET)
		return ((const struct sockaddr_in *)(const void *)own)->sin_addr.s_addr ==
		       endpoint->addr.in.sin_addr.s_addr;
	return own->sa_family == AF_INET6 &&
	       IN6_ARE_ADDR_EQUAL(&((const struct sockaddr_in6 *)(const void *)own)->sin6_addr,
				  &endpoint->addr.in6.sin6_addr);
}

/* An address that cannot be looked up is none of ours. */
static bool is_local(const struct endpoint *endpoint)
{
	struct ifaddrs *list = NULL;
	bool found = false;

	if (endpoint->addr.any.sa_family == AF_UNIX || is_loopback(endpoint))
		return true;
	if (getifaddrs(&list) < 0)
		return false;
	for (const struct ifaddrs *own = list; own && !found; own = own->ifa_next)
		found = same_host(endpoint, own->ifa_addr);
	freeifaddrs(list);
	return found;
}

static int check_local(const struct bench_settings *settings, struct error *err)
{
	char text[ADDRESS_TEXT_MAX];

	for (size_t i = 0; i < settings->endpoint_count && !settings->remote; i++)
		if (!is_local(&settings->endpoints[i]))
			return error_set(err, EX_USAGE,
					 "%s is not of this machine; to put a load on others, with "
					 "their owner's consent, say --remote",
					 endpoint_format(&settings->endpoints[i], text));
	return 0;
}

int bench_target(struct bench_settings *settings, struct error *err)
{
	struct endpoint *list = NULL;
	size_t count = 0;

	if (address_resolve_connect(&settings->address, &list, &count, err) < 0) {
		if (err->code != EX_OSERR)
			err->code = EX_NOHOST;
		return -1;
	}
	if (count > BENCH_ENDPOINTS_MAX)
		count = BENCH_ENDPOINTS_MAX;
	memcpy(settings->endpoints, list, count * sizeof(*list));
	settings->endpoint_count = count;
	free(list);
	return check_local(settings, err);
}
