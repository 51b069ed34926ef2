/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <arpa/inet.h>
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/address_scheme.h"
#include "base/log.h"

#define UNIX_NAME_OFFSET offsetof(struct sockaddr_un, sun_path)
#define HOST_ROOM        (INET6_ADDRSTRLEN + IF_NAMESIZE + 1)

/* The bytes of a Unix socket's name; an abstract one keeps its leading NUL. 0 when unnamed. */
static size_t unix_name_size(const struct sockaddr_un *un, socklen_t len)
{
	size_t size = len > UNIX_NAME_OFFSET ? len - UNIX_NAME_OFFSET : 0;

	if (size > sizeof(un->sun_path))
		size = sizeof(un->sun_path);
	return size && un->sun_path[0] ? strnlen(un->sun_path, size) : size;
}

/* With @ for an abstract name's NUL, terminated. Returns the length. */
static size_t copy_unix_name(const struct sockaddr_un *un, socklen_t len, char *name)
{
	size_t size = unix_name_size(un, len);

	memcpy(name, un->sun_path, size);
	name[size] = '\0';
	if (size && !name[0])
		name[0] = '@';
	return size;
}

static bool needs_interface(const struct in6_addr *in6)
{
	return IN6_IS_ADDR_LINKLOCAL(in6) || IN6_IS_ADDR_MC_LINKLOCAL(in6);
}

/* The resolver takes an interface's name only where the address is link-local. */
static const char *put_ipv6(const struct sockaddr_in6 *in6, bool with_name, char *text)
{
	char name[IF_NAMESIZE];
	size_t used;

	if (!inet_ntop(AF_INET6, &in6->sin6_addr, text, HOST_ROOM))
		text[0] = '\0';
	if (!in6->sin6_scope_id)
		return text;
	used = strlen(text);
	if (with_name && needs_interface(&in6->sin6_addr) &&
	    if_indextoname(in6->sin6_scope_id, name))
		snprintf(text + used, HOST_ROOM - used, "%%%s", name);
	else
		snprintf(text + used, HOST_ROOM - used, "%%%u", (unsigned)in6->sin6_scope_id);
	return text;
}

static void format_ipv4(const struct endpoint *endpoint, char *text)
{
	const struct address_scheme *scheme = address_scheme_of(endpoint->type, AF_UNSPEC);
	char host[INET_ADDRSTRLEN] = "";

	inet_ntop(AF_INET, &endpoint->addr.in.sin_addr, host, sizeof(host));
	snprintf(text, ADDRESS_TEXT_MAX, "%s://%s:%u", scheme ? scheme->name : "?", host,
		 (unsigned)ntohs(endpoint->addr.in.sin_port));
}

static void format_ipv6(const struct endpoint *endpoint, char *text)
{
	const struct address_scheme *scheme =
		address_scheme_of(endpoint->type, endpoint->v6only ? AF_INET6 : AF_UNSPEC);
	const char *name = scheme ? scheme->name : "?";
	unsigned port = ntohs(endpoint->addr.in6.sin6_port);
	char host[HOST_ROOM];

	if (endpoint->dual)
		snprintf(text, ADDRESS_TEXT_MAX, "%s://*:%u", name, port);
	else
		snprintf(text, ADDRESS_TEXT_MAX, "%s://[%s]:%u", name,
			 put_ipv6(&endpoint->addr.in6, true, host), port);
}

/* No address that was parsed holds what is replaced here, only a socket somebody else bound. */
static void format_unix(const struct endpoint *endpoint, char *text)
{
	const struct address_scheme *scheme = address_scheme_of(endpoint->type, AF_UNIX);
	char name[sizeof(endpoint->addr.un.sun_path) + 1];
	size_t size = copy_unix_name(&endpoint->addr.un, endpoint->len, name);

	for (size_t i = 0; i < size; i++)
		if ((unsigned char)name[i] <= ' ' || name[i] == 0x7f)
			name[i] = '?';
	snprintf(text, ADDRESS_TEXT_MAX, "%s://%s", scheme ? scheme->name : "?", name);
}

const char *endpoint_format(const struct endpoint *endpoint, char *text)
{
	switch (endpoint->addr.any.sa_family) {
	case AF_INET:
		format_ipv4(endpoint, text);
		break;
	case AF_INET6:
		format_ipv6(endpoint, text);
		break;
	case AF_UNIX:
		format_unix(endpoint, text);
		break;
	default:
		snprintf(text, ADDRESS_TEXT_MAX, "unknown");
	}
	return text;
}

static bool ipv4_equal(const struct endpoint *a, const struct endpoint *b)
{
	return a->addr.in.sin_addr.s_addr == b->addr.in.sin_addr.s_addr &&
	       a->addr.in.sin_port == b->addr.in.sin_port;
}

/* V6ONLY means nothing where the address is no wildcard. */
static bool ipv6_equal(const struct endpoint *a, const struct endpoint *b)
{
	const struct sockaddr_in6 *x = &a->addr.in6, *y = &b->addr.in6;

	if (memcmp(&x->sin6_addr, &y->sin6_addr, sizeof(x->sin6_addr)) ||
	    x->sin6_port != y->sin6_port || x->sin6_scope_id != y->sin6_scope_id)
		return false;
	return !IN6_IS_ADDR_UNSPECIFIED(&x->sin6_addr) ||
	       (a->dual == b->dual && a->v6only == b->v6only);
}

static bool unix_equal(const struct endpoint *a, const struct endpoint *b)
{
	size_t size = unix_name_size(&a->addr.un, a->len);

	return size == unix_name_size(&b->addr.un, b->len) &&
	       !memcmp(a->addr.un.sun_path, b->addr.un.sun_path, size);
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	if (a->type != b->type || a->addr.any.sa_family != b->addr.any.sa_family)
		return false;
	switch (a->addr.any.sa_family) {
	case AF_INET:
		return ipv4_equal(a, b);
	case AF_INET6:
		return ipv6_equal(a, b);
	case AF_UNIX:
		return unix_equal(a, b);
	default:
		return false;
	}
}

static int read_v6only(int fd, struct endpoint *endpoint)
{
	socklen_t size = sizeof(int);
	int v6only;

	if (endpoint->addr.any.sa_family != AF_INET6 ||
	    !IN6_IS_ADDR_UNSPECIFIED(&endpoint->addr.in6.sin6_addr))
		return 0;
	if (getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &size))
		return -1;
	endpoint->v6only = v6only;
	endpoint->dual = !v6only;
	return 0;
}

int endpoint_of_socket(int fd, struct endpoint *endpoint)
{
	struct endpoint result;
	socklen_t size = sizeof(result.type);

	memset(&result, 0, sizeof(result));
	result.len = sizeof(result.addr);
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &result.type, &size) ||
	    getsockname(fd, &result.addr.any, &result.len) || read_v6only(fd, &result))
		return -1;
	/* A path of 108 bytes has no NUL, and Linux counts one all the same. */
	if (result.len > sizeof(result.addr.un))
		result.len = sizeof(result.addr.un);
	*endpoint = result;
	return 0;
}

socklen_t address_unmap(struct sockaddr *addr, socklen_t len)
{
	struct sockaddr_in6 in6;
	struct sockaddr_in in = {.sin_family = AF_INET};

	if (len < sizeof(in6) || addr->sa_family != AF_INET6)
		return len;
	memcpy(&in6, addr, sizeof(in6));
	if (!IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr))
		return len;
	in.sin_port = in6.sin6_port;
	memcpy(&in.sin_addr, in6.sin6_addr.s6_addr + 12, sizeof(in.sin_addr));
	memcpy(addr, &in, sizeof(in));
	return sizeof(in);
}

/* The peer chose its name, so it is made safe to show. */
static void format_unix_peer(const struct sockaddr_un *un, socklen_t len, char *text)
{
	char name[sizeof(un->sun_path) + 1];
	size_t size = copy_unix_name(un, len, name);

	if (size)
		log_escape(text, ADDRESS_TEXT_MAX, name, size);
	else
		snprintf(text, ADDRESS_TEXT_MAX, "unix");
}

/* A scope stays a number: naming its interface takes system calls that a worker's sandbox may
 * refuse. */
const char *address_format_peer(const struct sockaddr *addr, socklen_t len, char *text)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	} copy;
	char host[HOST_ROOM] = "";

	memset(&copy, 0, sizeof(copy));
	if (len > sizeof(copy))
		len = sizeof(copy);
	memcpy(&copy, addr, len);
	len = address_unmap(&copy.any, len);
	if (copy.any.sa_family == AF_INET)
		snprintf(text, ADDRESS_TEXT_MAX, "%s:%u",
			 inet_ntop(AF_INET, &copy.in.sin_addr, host, sizeof(host)),
			 (unsigned)ntohs(copy.in.sin_port));
	else if (copy.any.sa_family == AF_INET6)
		snprintf(text, ADDRESS_TEXT_MAX, "[%s]:%u", put_ipv6(&copy.in6, false, host),
			 (unsigned)ntohs(copy.in6.sin6_port));
	else if (copy.any.sa_family == AF_UNIX || !len)
		format_unix_peer(&copy.un, len, text);
	else
		snprintf(text, ADDRESS_TEXT_MAX, "unknown");
	return text;
}
