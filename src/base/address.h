/* SPDX-License-Identifier: ISC */
/*
 * Addresses, in the one syntax of the configuration, both command lines and every message:
 * tcp://HOST:PORT tcp4:// tcp6:// udp:// udp4:// udp6:// unix:///PATH unix://@NAME unixgram://
 * unixpacket:// systemd://NAME.
 */
#ifndef BASE_ADDRESS_H
#define BASE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <netinet/in.h>

#include "base/error.h"

#define ADDRESS_HOST_MAX 256
#define ADDRESS_PORT_MAX 32
#define ADDRESS_TEXT_MAX 300

enum address_kind { ADDRESS_INET, ADDRESS_UNIX, ADDRESS_SYSTEMD };

struct address {
	enum address_kind kind;
	int type;                    /* SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET; 0 for systemd:// */
	int family;                  /* AF_INET (tcp4), AF_INET6 (tcp6), AF_UNSPEC (tcp), AF_UNIX */
	char host[ADDRESS_HOST_MAX]; /* without brackets, with %scope; "*"; or the path, "@name", or
					the systemd name */
	char port[ADDRESS_PORT_MAX]; /* as written */
	bool bracketed;              /* the host was an IPv6 literal in brackets */
};

/* A socket address that one listener binds or one client connects to. */
struct endpoint {
	int type;
	bool dual; /* an IPv6 wildcard that takes IPv4 too: V6ONLY off */
	bool v6only;
	socklen_t len;
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	} addr;
};

/* The syntax alone. Returns 0, or -1 with a text in err that quotes the address and says what is
 * wrong and what would be right. */
int address_parse(const char *text, struct address *address, struct error *err);

/*
 * The endpoints to listen on, without duplicates, in the resolver's order: allocated, to be freed
 * by the caller. `*` is the dual-stack IPv6 wildcard for tcp:// and udp:// when the machine has
 * IPv6 (a socket(AF_INET6) can be made), else 0.0.0.0. Names and services are looked up with
 * getaddrinfo(3). Returns 0, or -1 with err.
 */
int address_resolve_listen(const struct address *address, struct endpoint **list, size_t *count,
			   struct error *err);
/* The same for a client: `*` is the loopback address. */
int address_resolve_connect(const struct address *address, struct endpoint **list, size_t *count,
			    struct error *err);

/* `tcp://127.0.0.1:7`, `udp://[::1]:7`, `tcp://[fe80::1%eth0]:7`, `tcp://` + `*` for the dual
 * wildcard, `tcp6://[::]:7` for a v6only wildcard, `unix:///run/x`. Numeric, parses back to the
 * same. ADDRESS_TEXT_MAX bytes. Returns text. */
const char *endpoint_format(const struct endpoint *endpoint, char *text);
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);
/* What a socket is bound to, by getsockname(2) and SO_TYPE. Returns 0, or -1 with errno. */
int endpoint_of_socket(int fd, struct endpoint *endpoint);

/* Turns ::ffff:a.b.c.d into a.b.c.d in place and returns the new length; leaves any other alone. */
socklen_t address_unmap(struct sockaddr *addr, socklen_t len);
/* A peer for people: `192.0.2.1:4711`, `[2001:db8::1]:4711`, `/run/client.sock`, `@name`, `unix`
 * (unnamed). Unmaps (a copy). ADDRESS_TEXT_MAX bytes. Returns text. */
const char *address_format_peer(const struct sockaddr *addr, socklen_t len, char *text);

#endif
