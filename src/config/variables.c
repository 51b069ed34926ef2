/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <stddef.h>
#include <string.h>

#include "config/variables.h"

/* What systemd told the master, and what tells of a client: one that was inherited would lie. Names
 * that end in '*' are prefixes. */
static const char *const removed[] = {
	"LISTEN_*",
	"NOTIFY_SOCKET",
	"WATCHDOG_*",
	"JOURNAL_STREAM",
	"INVOCATION_ID",
	"MANAGERPID",
	"MAINPID",
	"SYSTEMD_EXEC_PID",
	"CREDENTIALS_DIRECTORY",
	"RUNTIME_DIRECTORY",
	"FDSTORE",
	"MEMORY_PRESSURE_*",
	"PREFORKD_*",
	"PROTO",
	"TCP*",
	"UDP*",
	"IPC*",
	"REMOTE_*",
	"SERVER_ADDR",
	"SERVER_PORT",
};

/* What comes after "TCP" and its like is ours; TCP_FOO is somebody else's. */
static bool matches(const char *variable, const char *pattern)
{
	size_t n = strlen(pattern);

	if (pattern[n - 1] != '*')
		return strncmp(variable, pattern, n) == 0 && variable[n] == '=';
	n--;
	if (strncmp(variable, pattern, n) != 0)
		return false;
	if (pattern[n - 1] == '_')
		return true;
	return strncmp(variable + n, "LOCAL", 5) == 0 || strncmp(variable + n, "REMOTE", 6) == 0 ||
	       strncmp(variable + n, "CONNNUM", 7) == 0;
}

bool config_variable_is_ours(const char *variable)
{
	for (size_t i = 0; i < sizeof(removed) / sizeof(removed[0]); i++)
		if (matches(variable, removed[i]))
			return true;
	return false;
}
