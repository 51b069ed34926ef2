/* SPDX-License-Identifier: ISC */
/* The sockets that systemd passed at the start: what systemd://NAME and ordinary addresses are
 * matched with. */
#ifndef CONFIG_PASSED_H
#define CONFIG_PASSED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/address.h"

struct passed_socket {
	int fd;
	char *name;            /* of LISTEN_FDNAMES */
	struct endpoint bound; /* what it is bound to; of no use where `wrong` is set */
	const char *wrong;     /* why nobody can be served there, or NULL */
	bool stored;           /* from the FD store: preforkd bound it itself, once */
	bool wanted;           /* a service listens there */
};

struct passed {
	struct passed_socket *items;
	size_t count;
};

#endif
