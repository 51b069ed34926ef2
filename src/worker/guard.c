/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <netinet/in.h>

#include "base/hot.h"
#include "worker/guard.h"

HOT static bool port_is_ours(const board_u64 *our_ports, unsigned port)
{
	return atomic_load_explicit(&our_ports[port / 64], memory_order_relaxed) >> (port % 64) & 1;
}

HOT static bool refuses_inet(const struct sockaddr_in *in)
{
	uint32_t host = ntohl(in->sin_addr.s_addr);

	/* 224.0.0.0/4 is multicast, 240.0.0.0/4 reserved with the limited broadcast, 0.0.0.0/8
	 * "this host". A directed broadcast cannot be told from here; the kernel sends to none
	 * without SO_BROADCAST, which is never set. */
	return host >= UINT32_C(0xe0000000) || host >> 24 == 0;
}

HOT static bool refuses_inet6(const struct sockaddr_in6 *in6)
{
	return IN6_IS_ADDR_MULTICAST(&in6->sin6_addr) || IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr);
}

HOT bool guard_refuses(const struct sockaddr *source, const board_u64 *our_ports)
{
	const struct sockaddr_in *in = (const void *)source;
	const struct sockaddr_in6 *in6 = (const void *)source;
	unsigned port;

	if (source->sa_family == AF_INET && refuses_inet(in))
		return true;
	if (source->sa_family == AF_INET6 && refuses_inet6(in6))
		return true;
	if (source->sa_family != AF_INET && source->sa_family != AF_INET6)
		return false;
	port = ntohs(source->sa_family == AF_INET ? in->sin_port : in6->sin6_port);
	return port < 1024 || port_is_ours(our_ports, port);
}
