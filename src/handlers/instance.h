/* SPDX-License-Identifier: ISC */
/* A handler that a pool uses: found or loaded, and opened. */
#ifndef HANDLERS_INSTANCE_H
#define HANDLERS_INSTANCE_H

#include <preforkd/handler.h>

#include "base/error.h"
#include "handlers/module.h"

/* Zeroed is closed. */
struct handler_instance {
	const struct preforkd_handler *handler;
	void *state;           /* what open() made */
	struct module *module; /* NULL for a built-in */
};

/*
 * Opens the built-in or the module, whichever is not NULL. The setup is not copied and stays valid
 * until handler_close(). Returns 0, or -1 with err and *out zeroed.
 */
int handler_open(struct handler_instance *out, const char *builtin_or_null,
		 const char *module_or_null, const struct preforkd_setup *setup, struct error *err);
/* Zeroes the instance; does nothing to one that is closed. */
void handler_close(struct handler_instance *instance);

#endif
