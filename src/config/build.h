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
/* Where a key is given in the service itself; NULL: nowhere. */
const struct entry *check_given(const struct service_config *service, const char *key);
/* The same of its numbers of workers; and fills in those that depend on others. */
void check_pool(struct service_config *service, struct error_list *errors);
/* Of who is served. */
void check_access(const struct service_config *service, struct error_list *errors);
/* Whether the clients of a listener of that type, given as `text`, can be served at all. */
void check_reach(const struct service_config *service, bool is_unix, int type, const char *text,
		 struct error_list *errors);

#endif
