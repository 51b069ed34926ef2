/* SPDX-License-Identifier: ISC */
/* The schemes of address.h, for the files that implement it. */
#ifndef BASE_ADDRESS_SCHEME_H
#define BASE_ADDRESS_SCHEME_H

#include "base/address.h"

struct address_reader;

struct address_scheme {
	const char *name;
	int type;
	int family;
	enum address_kind kind;
	/* Reads what follows the `://`. */
	int (*read)(const struct address_reader *reader, struct address *address);
};

/* The scheme of a socket type and family; AF_UNSPEC is tcp:// or udp://. NULL when none is. */
const struct address_scheme *address_scheme_of(int type, int family);
/* Is it all digits (and not empty)? */
bool address_port_is_number(const char *port);
/* Is it an IPv4 address in the usual four parts? */
bool address_host_is_ipv4(const char *host);

#endif
