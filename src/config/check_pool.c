/* SPDX-License-Identifier: ISC */
/* How many workers a service has: those of its numbers that hang together. */
#include <config.h>

#include <string.h>
#include <sysexits.h>

#include "config/build.h"

/* What a pool grows to when nobody says how big it is. */
#define MAX_DEFAULT 64

static bool is_default_of_all(const struct service_config *service, const char *key)
{
	const struct entries *e = service->entries;

	for (size_t i = 0; i < e->count; i++)
		if (e->items[i].scope == ENTRY_GLOBAL && strcmp(e->items[i].key, key) == 0)
			return true;
	return false;
}

static bool is_given(const struct service_config *service, const char *key)
{
	return check_given(service, key) || is_default_of_all(service, key);
}

/* Who says only `workers` wants so many, no more. */
static uint64_t default_max(const struct service_config *service)
{
	if (service->workers > 0 && is_given(service, "workers"))
		return service->workers;
	return service->workers > MAX_DEFAULT ? service->workers : MAX_DEFAULT;
}

static void settle_acceptor(struct service_config *service, struct error_list *errors)
{
	service->workers_max = service->workers;
	service->spare = 0;
	if (service->workers == 0)
		error_list_add(errors, EX_CONFIG,
			       "%s: an acceptor takes its clients itself, so that one copy must be "
			       "there; at least 1",
			       config_place(service, "workers"));
}

void check_pool(struct service_config *service, struct error_list *errors)
{
	if (service->kind == HANDLER_ACCEPTOR) {
		settle_acceptor(service, errors);
		return;
	}
	if (!is_given(service, "workers_max"))
		service->workers_max = default_max(service);
	else if (!is_given(service, "workers") && service->workers > service->workers_max)
		service->workers = service->workers_max;
	if (service->workers_max < service->workers) {
		error_list_add(errors, EX_CONFIG,
			       "%s: %llu is less than workers, which is %llu; the pool grows from "
			       "workers to workers_max",
			       config_place(service, "workers_max"),
			       (unsigned long long)service->workers_max,
			       (unsigned long long)service->workers);
		return;
	}
	if (service->spare <= service->workers_max)
		return;
	if (check_given(service, "spare"))
		error_list_add(errors, EX_CONFIG,
			       "%s: %llu is more than workers_max, which is %llu",
			       config_place(service, "spare"), (unsigned long long)service->spare,
			       (unsigned long long)service->workers_max);
	service->spare = service->workers_max;
}
