/* SPDX-License-Identifier: ISC */
/* The way to the board, and how its numbers and texts are shown. */
#include <config.h>

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "ctl/ctl.h"
#include "view/snapshot.h"

static bool has_board(const char *directory)
{
	char path[PATH_MAX + sizeof(BOARD_MASTER_FILE) + 1];

	snprintf(path, sizeof(path), "%s/" BOARD_MASTER_FILE, directory);
	return access(path, F_OK) == 0;
}

/* A user who has no daemon of that name means the system's. */
static int default_directory(const struct ctl *ctl, char *path, size_t room, struct error *err)
{
	char common[PATH_MAX];

	if (board_default_directory(ctl->instance, path, room, err) < 0)
		return -1;
	snprintf(common, sizeof(common), RUNTIMEDIR "/%s", ctl->instance);
	if (!has_board(path) && has_board(common))
		snprintf(path, room, "%s", common);
	return 0;
}

int ctl_directory(const struct ctl *ctl, char *path, size_t room, struct error *err)
{
	if (!ctl->directory)
		return default_directory(ctl, path, room, err);
	if ((size_t)snprintf(path, room, "%s", ctl->directory) >= room)
		return error_set(err, EX_USAGE, "--runtime-directory: the path is too long");
	return 0;
}

int ctl_not_running(struct error *err)
{
	if (err->code != EX_UNAVAILABLE)
		return -1;
	return error_set(err, CTL_EXIT_NOT_RUNNING, "not running: %s", err->text);
}

uint64_t ctl_now(int clock)
{
	struct timespec now = {0};

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

const char *ctl_escape(char *text, size_t room, const char *from)
{
	log_escape(text, room, from, strlen(from));
	return text;
}

const char *ctl_age(char *text, uint64_t usec)
{
	uint64_t s = usec / USEC_PER_SEC;

	if (s < 60)
		snprintf(text, CTL_AGE_MAX, "%" PRIu64 "s", s);
	else if (s < 3600)
		snprintf(text, CTL_AGE_MAX, "%" PRIu64 "m %" PRIu64 "s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(text, CTL_AGE_MAX, "%" PRIu64 "h %" PRIu64 "m", s / 3600, s % 3600 / 60);
	else
		snprintf(text, CTL_AGE_MAX, "%" PRIu64 "d %" PRIu64 "h", s / 86400,
			 s % 86400 / 3600);
	return text;
}

static int add_part(char *text, int n, const char **separator, uint64_t count, const char *name)
{
	if (count == 0 || n < 0 || n >= CTL_BRIEF_MAX)
		return n;
	n += snprintf(text + n, CTL_BRIEF_MAX - (size_t)n, "%s%" PRIu64 " %s", *separator, count,
		      name);
	*separator = ", ";
	return n;
}

/* A field's name in words. */
static const char *words(char *text, size_t room, const char *name)
{
	snprintf(text, room, "%s", name);
	for (char *p = text; *p; p++)
		if (*p == '_')
			*p = ' ';
	return text;
}

const char *ctl_brief(char *text, const struct ledger_view *ledger)
{
	static const enum connection_field endings[] = {
#define CONNECTION_FIELD(name, type, unit, help)
#define ENDING_FIELD(name, type, unit, help) CONN_##name,
#include "board/fields.def"
	};
	const uint64_t *c = ledger->connections;
	const char *separator = ": ";
	char name[64];
	int n = snprintf(text, CTL_BRIEF_MAX, "%" PRIu64 " client%s", c[CONN_accepted],
			 c[CONN_accepted] == 1 ? "" : "s");

	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
		n = add_part(text, n, &separator, c[endings[i]],
			     words(name, sizeof(name), connection_fields[endings[i]].name));
	n = add_part(text, n, &separator, view_open(c), "open");
	add_part(text, n, &separator, ledger->queued_at_close, "queued at close");
	return text;
}

const char *ctl_ledger(char *text, const uint64_t connections[CONNECTION_FIELDS])
{
	snprintf(text, CTL_LEDGER_MAX,
		 "%" PRIu64 " accepted, %" PRIu64 " finished, %" PRIu64 " refused, %" PRIu64
		 " timed out, %" PRIu64 " aborted, %" PRIu64 " open",
		 connections[CONN_accepted], connections[CONN_finished],
		 view_sum(connections, "refused_"), connections[CONN_timed_out],
		 view_sum(connections, "aborted_"), view_open(connections));
	return text;
}
