/* SPDX-License-Identifier: ISC */
/*
 * Sockets that this process was started with: those of .socket units, and those of the FD store,
 * which preforkd bound itself before a restart. sd_listen_fds(3), systemd.service(5).
 */
#ifndef MASTER_PASSED_H
#define MASTER_PASSED_H

#include "base/error.h"
#include "config/passed.h"

/* `store.SERVICE.HASH`: the name in the FD store of what a service listens on, HASH of its address
 * as configured. Returns text. */
#define PASSED_NAME_MAX 128
const char *passed_store_name(const char *service, const char *address, char *text);

/* Takes the descriptors of LISTEN_FDS, looks what each is, sets close-on-exec and lets it block.
 * Returns 0, or -1 with err: EX_OSERR. */
int passed_take(struct passed *passed, struct error *err);
/* Adds one, whose flags are left alone; `name` is copied. */
void passed_add(struct passed *passed, int fd, const char *name);
/* What a listener is looked for by. */
struct passed_wish {
	const char *service;
	const struct endpoint *endpoint; /* as configured */
};
#define PASSED_NONE ((size_t)-1)
/*
 * Fills `match` with the index of the socket for each wish, or PASSED_NONE. A .socket unit's goes
 * by what it is bound to; a stored one by its name, else by what it is bound to. Pure.
 */
void passed_match(const struct passed *passed, const struct passed_wish *wishes, size_t count,
		  size_t *match);

#endif
