/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "board/layout.h"
#include "config/config.h"
#include "config/schema.h"
#include "config/types.h"

#define IN_SERVICE(field) offsetof(struct service_config, field)
#define IN_CONFIG(field)  offsetof(struct config, field)
#define DAY               (INT64_C(86400) * 1000000)
/* A connection for every microsecond: more is no limit. */
#define RATE_MAX 1000000
/* What a socket takes at once from a worker that does not wait. */
#define BUSY_MESSAGE_MAX 4096

static const char *const level_names[] = {"error", "warning", "notice", "info", "debug", NULL};
static const char *const proxy_names[] = {"off", "accept", "require", NULL};
static const char *const stderr_names[] = {"log", "client", NULL};
static const char *const pass_names[] = {"systemd", "stdin", NULL};
#ifdef HAVE_SECCOMP
static const char *const sandbox_names[] = {"off", "basic", "strict", NULL};
#else
static const char *const sandbox_names[] = {"off", "basic", NULL};
#endif

/* In the order of preforkd.conf(5) and of --dump. */
const struct key schema[] = {
	{"log_level", &type_choice, KEY_MASTER, IN_CONFIG(log_level), 0, 0, "info", level_names},
	{"exit_idle", &type_duration, KEY_MASTER, IN_CONFIG(exit_idle), 0, 365 * DAY, "0", NULL},
	{"workers_total", &type_count, KEY_MASTER, IN_CONFIG(workers_total), 0, BOARD_SLOTS, "0",
	 NULL},

	{"listen", &type_list, KEY_SERVICE, IN_SERVICE(listen), 0, 0, NULL, NULL},
	{"builtin", &type_text, KEY_SERVICE, IN_SERVICE(builtin), 0, 0, "", NULL},
	{"module", &type_text, KEY_SERVICE, IN_SERVICE(module), 0, 0, "", NULL},
	{"exec", &type_list, KEY_SERVICE, IN_SERVICE(exec), 0, 0, NULL, NULL},
	{"acceptor", &type_list, KEY_SERVICE, IN_SERVICE(acceptor), 0, 0, NULL, NULL},
	{"enabled", &type_bool, KEY_DEFAULT, IN_SERVICE(enabled), 0, 0, "true", NULL},

	{"workers", &type_count, KEY_DEFAULT, IN_SERVICE(workers), 0, BOARD_SLOTS / 2, "4", NULL},
	{"workers_max", &type_count, KEY_DEFAULT, IN_SERVICE(workers_max), 1, BOARD_SLOTS / 2, NULL,
	 NULL},
	{"spare", &type_count, KEY_DEFAULT, IN_SERVICE(spare), 0, BOARD_SLOTS / 2, "2", NULL},
	{"shrink_after", &type_duration, KEY_DEFAULT, IN_SERVICE(shrink_after), 0, 365 * DAY, "1m",
	 NULL},
	{"start_timeout", &type_duration, KEY_DEFAULT, IN_SERVICE(start_timeout), 0, DAY, "30s",
	 NULL},
	{"recycle_after", &type_count, KEY_DEFAULT, IN_SERVICE(recycle_after), 0, INT64_MAX, "0",
	 NULL},
	{"recycle_memory", &type_size, KEY_DEFAULT, IN_SERVICE(recycle_memory), 1 << 20, INT64_MAX,
	 "0", NULL},

	{"idle_timeout", &type_duration, KEY_DEFAULT, IN_SERVICE(idle_timeout), 0, 365 * DAY, "1m",
	 NULL},
	{"connection_timeout", &type_duration, KEY_DEFAULT, IN_SERVICE(connection_timeout), 0,
	 365 * DAY, "0", NULL},
	{"stop_timeout", &type_duration, KEY_DEFAULT, IN_SERVICE(stop_timeout), 0, DAY, "30s",
	 NULL},
	{"log_connections", &type_bool, KEY_DEFAULT, IN_SERVICE(log_connections), 0, 0, "false",
	 NULL},

	{"allow", &type_rules, KEY_DEFAULT, IN_SERVICE(allow), 0, 0, NULL, NULL},
	{"deny", &type_rules, KEY_DEFAULT, IN_SERVICE(deny), 0, 0, NULL, NULL},
	{"per_source", &type_count, KEY_DEFAULT, IN_SERVICE(per_source), 0, BOARD_SLOTS, "0", NULL},
	{"rate", &type_rate, KEY_DEFAULT, IN_SERVICE(rate), 0, RATE_MAX, "0", NULL},
	{"rate_per_source", &type_rate, KEY_DEFAULT, IN_SERVICE(rate_per_source), 0, RATE_MAX, "0",
	 NULL},
	{"queue_timeout", &type_duration, KEY_DEFAULT, IN_SERVICE(queue_timeout), 0, DAY, "0",
	 NULL},
	{"busy_message", &type_text, KEY_DEFAULT, IN_SERVICE(busy_message), 0, BUSY_MESSAGE_MAX, "",
	 NULL},
	{"proxy_protocol", &type_choice, KEY_DEFAULT, IN_SERVICE(proxy_protocol), 0, 0, "off",
	 proxy_names},
	{"proxy_from", &type_rules, KEY_DEFAULT, IN_SERVICE(proxy_from), 0, 0, NULL, NULL},

	{"backlog", &type_count, KEY_DEFAULT, IN_SERVICE(backlog), 1, INT_MAX, "4096", NULL},
	{"nodelay", &type_bool, KEY_DEFAULT, IN_SERVICE(nodelay), 0, 0, "true", NULL},
	{"keepalive", &type_bool, KEY_DEFAULT, IN_SERVICE(keepalive), 0, 0, "true", NULL},
	{"defer_accept", &type_duration, KEY_DEFAULT, IN_SERVICE(defer_accept), 0, DAY, "0", NULL},
	{"free_bind", &type_bool, KEY_DEFAULT, IN_SERVICE(free_bind), 0, 0, "false", NULL},
	{"bind_device", &type_text, KEY_DEFAULT, IN_SERVICE(bind_device), 0, 15, "", NULL},
	{"socket_user", &type_text, KEY_DEFAULT, IN_SERVICE(socket_user), 0, 0, "", NULL},
	{"socket_group", &type_text, KEY_DEFAULT, IN_SERVICE(socket_group), 0, 0, "", NULL},
	{"socket_mode", &type_mode, KEY_DEFAULT, IN_SERVICE(socket_mode), 0, 0, "0660", NULL},

	{"user", &type_text, KEY_DEFAULT, IN_SERVICE(user), 0, 0, "", NULL},
	{"group", &type_text, KEY_DEFAULT, IN_SERVICE(group), 0, 0, "", NULL},
	{"chroot", &type_path, KEY_DEFAULT, IN_SERVICE(chroot), 0, 0, "", NULL},
	{"directory", &type_path, KEY_DEFAULT, IN_SERVICE(directory), 0, 0, "/", NULL},
	{"umask", &type_mode, KEY_DEFAULT, IN_SERVICE(umask), 0, 0, "0022", NULL},
	{"nice", &type_optional, KEY_DEFAULT, IN_SERVICE(nice), -20, 19, "inherit", NULL},
	{"limit_nofile", &type_optional, KEY_DEFAULT, IN_SERVICE(limit_nofile), 16, INT_MAX,
	 "inherit", NULL},
	{"limit_as", &type_optional_size, KEY_DEFAULT, IN_SERVICE(limit_as), 0, INT64_MAX,
	 "inherit", NULL},
	{"limit_cpu", &type_optional, KEY_DEFAULT, IN_SERVICE(limit_cpu), 1, INT_MAX, "inherit",
	 NULL},
	{"limit_nproc", &type_optional, KEY_DEFAULT, IN_SERVICE(limit_nproc), 0, INT_MAX, "inherit",
	 NULL},
	{"limit_core", &type_optional_size, KEY_DEFAULT, IN_SERVICE(limit_core), 0, INT64_MAX,
	 "inherit", NULL},
	{"environment", &type_list, KEY_DEFAULT, IN_SERVICE(environment), 0, 0, NULL, NULL},
	{"sandbox", &type_choice, KEY_DEFAULT, IN_SERVICE(sandbox), 0, 0, NULL, sandbox_names},

	{"prestart", &type_bool, KEY_DEFAULT, IN_SERVICE(prestart), 0, 0, "false", NULL},
	{"stderr", &type_choice, KEY_DEFAULT, IN_SERVICE(stderr_to), 0, 0, "log", stderr_names},
	{"pass_as", &type_choice, KEY_DEFAULT, IN_SERVICE(pass_as), 0, 0, "systemd", pass_names},
	{"stop_signal", &type_signal, KEY_DEFAULT, IN_SERVICE(stop_signal), 0, 0, "TERM", NULL},
};
const size_t schema_count = sizeof(schema) / sizeof(schema[0]);

const struct key *schema_find(const char *name)
{
	for (size_t i = 0; i < schema_count; i++)
		if (strcmp(schema[i].name, name) == 0)
			return &schema[i];
	return NULL;
}

/* Levenshtein distance of short words. */
static size_t distance(const char *a, const char *b)
{
	size_t row[64], la = strlen(a), lb = strlen(b);

	if (lb >= 63)
		return 99;
	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t corner = row[0];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t up = row[j], best = corner + (a[i - 1] != b[j - 1]);

			if (up + 1 < best)
				best = up + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			corner = up;
			row[j] = best;
		}
	}
	return row[lb];
}

const struct key *schema_guess(const char *name)
{
	const struct key *best = NULL;
	size_t least = 3;

	for (size_t i = 0; i < schema_count; i++) {
		size_t d = distance(name, schema[i].name);

		if (d < least && d < strlen(schema[i].name) / 2) {
			least = d;
			best = &schema[i];
		}
	}
	return best;
}
