/* SPDX-License-Identifier: ISC */
/* From the files, or the command line, to a configuration that is known to work, up to binding. */
#ifndef MASTER_LOAD_H
#define MASTER_LOAD_H

#include "config/config.h"
#include "config/options.h"

/* Reads, checks and looks up everything; opens and closes every handler once. `passed`: as
 * config_resolve() takes it. Blocks. NULL with errors. */
struct config *load_config(const struct options *options, const struct passed *passed,
			   struct error_list *errors);

/*
 * The same in the bytes that a child process hands to the master: load_pack() in the child
 * (allocated, never NULL), load_unpack() in the master.
 */
char *load_pack(const struct options *options, const struct passed *passed, size_t *size);
struct config *load_unpack(const char *bytes, size_t size, struct error_list *errors);
/* In the child, where it harms nobody: whether the master will have the memory for these. One that
 * got none would end. */
bool load_fits(const char *bytes, size_t size);

/* What the master takes for a load beside the configuration. */
#define LOAD_ROOM ((size_t)1 << 20)

#endif
