/* SPDX-License-Identifier: ISC */
/* Handlers in shared objects. */
#ifndef HANDLERS_MODULE_H
#define HANDLERS_MODULE_H

#include <preforkd/handler.h>

#include "base/error.h"

struct module;

/* Where modules are looked for: $PREFORKD_MODULE_DIRECTORY, or MODULEDIR. */
const char *module_directory(void);
/*
 * Loads FILE.so of module_directory() when file has no slash, else file itself, which must be an
 * absolute path. Returns 0 with a module to unload and the handler it defines, valid until then; or
 * -1 with err.
 */
int module_load(const char *file, struct module **out, const struct preforkd_handler **handler,
		struct error *err);
/* NULL is none. */
void module_unload(struct module *module);

#endif
