/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "base/log_escape.h"
#include "handlers/status/health.h"

static void describe(char *text, size_t room, const struct pool_view *pool)
{
	uint64_t backoff = pool->values[POOL_backoff_usec];

	if (pool->values[POOL_left_over])
		snprintf(text, room, "%s at %s: of before an upgrade, no worker is replaced",
			 pool->service, pool->address);
	else if (backoff)
		snprintf(text, room,
			 "%s at %s: waits %" PRIu64 " ms before it starts the next worker",
			 pool->service, pool->address, backoff / 1000);
	else
		snprintf(text, room, "%s at %s: %" PRIu64 " of %" PRIu64 " workers ready",
			 pool->service, pool->address, pool->values[POOL_workers_ready],
			 pool->values[POOL_workers_wanted]);
}

void health_pools(const struct snapshot *snapshot, FILE *out, const char *separator,
		  void (*put)(FILE *out, const char *text))
{
	char text[BOARD_NAME_MAX + BOARD_ADDRESS_MAX + 128];
	const char *before = "";

	for (uint32_t i = 0; i < snapshot->pool_count; i++) {
		if (!pool_degraded(&snapshot->pools[i]))
			continue;
		describe(text, sizeof(text), &snapshot->pools[i]);
		fputs(before, out);
		put(out, text);
		before = separator;
	}
}

static void put_safe(FILE *out, const char *text)
{
	char safe[4 * (BOARD_NAME_MAX + BOARD_ADDRESS_MAX + 128)];

	log_escape_line(safe, sizeof(safe), text, strlen(text));
	fputs(safe, out);
}

bool health_write(const struct snapshot *snapshot, FILE *out)
{
	enum master_state state = snapshot->instance.state;

	if (snapshot_healthy(snapshot)) {
		fputs("ok\n", out);
		return true;
	}
	if (state == MASTER_RUNNING || state == MASTER_RELOADING) {
		fputs("degraded: ", out);
		health_pools(snapshot, out, "; ", put_safe);
		fputc('\n', out);
	} else {
		fprintf(out, "%s\n", master_state_names[state]);
	}
	return false;
}
