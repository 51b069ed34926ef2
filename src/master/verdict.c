/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <string.h>

#include "base/log.h"
#include "master/verdict.h"

static const struct {
	const char *name;
	enum log_message done, failed;
} kinds[VERDICT_KINDS] = {
	[VERDICT_RELOAD] = {"reload", MESSAGE_reload_done, MESSAGE_reload_failed},
	[VERDICT_RECYCLE] = {"recycle", MESSAGE_recycle_done, MESSAGE_recycle_failed},
	[VERDICT_UPGRADE] = {"upgrade", MESSAGE_upgrade_done, MESSAGE_upgrade_failed},
	[VERDICT_STOP] = {"stop", MESSAGE_stopped, MESSAGE_stopped},
};

void verdict_publish(struct master *m, enum verdict_kind kind, bool failed, const char *text)
{
	for (const char *line = text; *line;) {
		size_t length = strcspn(line, "\n");

		log_event(failed ? LOG_LEVEL_ERROR : LOG_LEVEL_NOTICE,
			  failed ? kinds[kind].failed : kinds[kind].done, NULL, "%s: %.*s",
			  kinds[kind].name, (int)length, line);
		line += length + (line[length] == '\n');
	}
	board_verdict_finish(&m->board, kind, failed, text);
}
