/* SPDX-License-Identifier: ISC */
/* What a new configuration means for the pools there are. Pure. */
#ifndef MASTER_RELOAD_H
#define MASTER_RELOAD_H

#include <stdbool.h>
#include <stddef.h>

/* A listener as reloads compare it: of a pool, which has one or, an acceptor, several. */
struct reload_pool {
	const char *service;
	const char *address;     /* as configured: endpoint_format() */
	const char *fingerprint; /* config_fingerprint() */
	bool fixed_port; /* false where the kernel chose the port: such a listener is no other's */
};

enum reload_action {
	RELOAD_KEEP,    /* equal: its workers are not touched */
	RELOAD_REPLACE, /* same service and address, other settings: the listener stays */
	RELOAD_TAKE,    /* the listener stays, with another service behind it */
	RELOAD_ADD,     /* a new listener */
};

struct reload_step {
	enum reload_action action;
	size_t old; /* the pool kept, replaced or taken from */
};

/* What becomes of an old pool. */
enum reload_fate {
	RELOAD_KEPT,
	RELOAD_REPLACED, /* its listener goes on: its workers leave */
	RELOAD_DROPPED,  /* nobody listens there any more: its queue is served, then it is closed */
};

/* Fills steps (one for each new pool) and fates (one for each old one). */
void reload_plan(const struct reload_pool *old, size_t old_count, const struct reload_pool *fresh,
		 size_t fresh_count, struct reload_step *steps, enum reload_fate *fates);

#endif
