/* SPDX-License-Identifier: ISC */
/* The parts of config_build(), for each other. */
#ifndef CONFIG_BUILD_H
#define CONFIG_BUILD_H

#include "config/config.h"

struct build {
	struct entries *entries;
	struct error_list *errors;
};

/* Adds `PLACE: text` for an entry. */
void build_error(struct build *build, const struct entry *entry, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void build_free_service(struct service_config *service);

/* Whether the values make sense together. */
void check_config(struct config *config, struct error_list *errors);

#endif
