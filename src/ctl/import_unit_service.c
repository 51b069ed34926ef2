/* SPDX-License-Identifier: ISC */
/* [Service]: the process, its times, its limits. */
#include <config.h>

#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/parse.h"
#include "ctl/import_unit.h"

#define DAY (UINT64_C(86400) * USEC_PER_SEC)

static char *expanded(struct unit_pair *pair, const struct setting *setting)
{
	return unit_expand(pair, pair->service, setting->value);
}

static void note_bad(struct unit_pair *pair, const struct setting *setting)
{
	unit_note(pair, setting, "not a value that preforkd has");
}

/* ---- who ---- */

static void take_user(struct unit_pair *pair, const struct setting *setting)
{
	draft_set(pair->draft, "user", "%s", expanded(pair, setting));
}

static void take_group(struct unit_pair *pair, const struct setting *setting)
{
	draft_set(pair->draft, "group", "%s", expanded(pair, setting));
}

static void take_dynamic_user(struct unit_pair *pair, const struct setting *setting)
{
	if (!unit_truth(setting->value))
		return;
	unit_note(pair, setting, "no equivalent: a user must be there");
	if (!unit_value(pair->service, "Service", "User"))
		draft_off(pair->draft, "it had a user made for it, and would be root now");
}

/* Without User= it is root, whatever user preforkd.conf gives to services that have none. */
static void settle_user(struct unit_pair *pair)
{
	if (!pair->service->of_user && !*draft_value(pair->draft, "user"))
		draft_set(pair->draft, "user", "root");
}

/* ---- where ---- */

static void take_directory(struct unit_pair *pair, const struct setting *setting)
{
	const char *path = expanded(pair, setting);
	const char *user = unit_value(pair->service, "Service", "User");
	bool may_lack = *path == '-';
	const struct passwd *entry;
	struct stat st;

	path += may_lack;
	if (strcmp(path, "~") == 0) {
		/* cppcheck-suppress getpwnamCalled; one thread */
		entry = getpwnam(user ? unit_expand(pair, pair->service, user) : "root");
		path = entry ? entry->pw_dir : "/";
	}
	if (may_lack && stat(path, &st) < 0)
		unit_note(pair, setting, "it is missing on this machine, and may be");
	else if (*path == '/')
		draft_set(pair->draft, "directory", "%s", path);
	else
		note_bad(pair, setting);
}

static void take_root(struct unit_pair *pair, const struct setting *setting)
{
	draft_set(pair->draft, "chroot", "%s", expanded(pair, setting));
}

/* ---- what it may ---- */

static void take_umask(struct unit_pair *pair, const struct setting *setting)
{
	unsigned mode;

	if (parse_mode(setting->value, &mode) < 0)
		note_bad(pair, setting);
	else
		draft_set(pair->draft, "umask", "%04o", mode);
}

static void take_nice(struct unit_pair *pair, const struct setting *setting)
{
	const char *value = setting->value, *digits = value + (*value == '-');
	uint64_t number;

	if (parse_uint(digits, 0, *value == '-' ? 20 : 19, &number) < 0)
		note_bad(pair, setting);
	else
		draft_set(pair->draft, "nice", "%s", value);
}

static void take_privileges(struct unit_pair *pair, const struct setting *setting)
{
	draft_set(pair->draft, "sandbox", unit_truth(setting->value) ? "basic" : "off");
}

enum limit_kind { LIMIT_NUMBER, LIMIT_SIZE, LIMIT_TIME };

static const struct limit {
	const char *setting, *key;
	enum limit_kind kind;
	uint64_t least;
} limits[] = {
	{"LimitNOFILE", "limit_nofile", LIMIT_NUMBER, 16},
	{"LimitNPROC", "limit_nproc", LIMIT_NUMBER, 0},
	{"LimitAS", "limit_as", LIMIT_SIZE, 0},
	{"LimitCORE", "limit_core", LIMIT_SIZE, 0},
	{"LimitCPU", "limit_cpu", LIMIT_TIME, 1},
};

static bool read_limit(struct arena *arena, const struct limit *limit, const char *value,
		       char *text)
{
	uint64_t number;

	switch (limit->kind) {
	case LIMIT_SIZE:
		if (parse_size(value, &number) < 0 || number > INT64_MAX)
			return false;
		format_size(text, number);
		return true;
	case LIMIT_TIME:
		if (!unit_span(arena, value, &number))
			return false;
		number = (number + USEC_PER_SEC - 1) / USEC_PER_SEC;
		break;
	case LIMIT_NUMBER:
	default:
		if (parse_uint(value, 0, UINT64_MAX, &number) < 0)
			return false;
		break;
	}
	snprintf(text, PARSE_TEXT_MAX, "%" PRIu64, number);
	return number >= limit->least && number <= INT_MAX;
}

/* SOFT:HARD, or one for both, which is what preforkd has. */
static void take_limit(struct unit_pair *pair, const struct setting *setting)
{
	struct arena *arena = &pair->import->arena;
	const char *soft = arena_cut(arena, setting->value, strcspn(setting->value, ":"));
	char text[PARSE_TEXT_MAX];

	if (strcmp(soft, "infinity") == 0) {
		unit_note(pair, setting, "here it is that of the daemon");
		return;
	}
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		if (strcmp(setting->key, limits[i].setting) != 0)
			continue;
		if (!read_limit(arena, &limits[i], soft, text)) {
			note_bad(pair, setting);
			continue;
		}
		draft_set(pair->draft, limits[i].key, "%s", text);
		if (strchr(setting->value, ':'))
			draft_remark(pair->draft, limits[i].key, "%s=%s: here both are one",
				     setting->key, setting->value);
	}
}

/* ---- times ---- */

static void take_stop_timeout(struct unit_pair *pair, const struct setting *setting)
{
	unit_set_time(pair, setting, "stop_timeout", DAY);
}

static void take_start_timeout(struct unit_pair *pair, const struct setting *setting)
{
	if (pair->accept)
		unit_note(pair, setting, "no equivalent: a program serves as soon as it runs");
	else
		unit_set_time(pair, setting, "start_timeout", DAY);
}

static void take_both_timeouts(struct unit_pair *pair, const struct setting *setting)
{
	take_start_timeout(pair, setting);
	take_stop_timeout(pair, setting);
}

static void take_runtime(struct unit_pair *pair, const struct setting *setting)
{
	if (pair->accept)
		unit_set_time(pair, setting, "connection_timeout", 365 * DAY);
	else
		unit_note(pair, setting,
			  "no equivalent: an acceptor stays; see preforkctl recycle");
}

static void take_signal(struct unit_pair *pair, const struct setting *setting)
{
	const char *name = setting->value;
	uint64_t number;

	if (strncmp(name, "SIG", 3) == 0)
		name += 3;
	if (parse_uint(name, 1, NSIG - 1, &number) == 0 && sigabbrev_np((int)number))
		name = sigabbrev_np((int)number);
	if (pair->accept) {
		unit_note(pair, setting,
			  "no equivalent: a program is told to end by TERM, then by KILL");
		return;
	}
	for (int i = 1; i < NSIG; i++) {
		if (!sigabbrev_np(i) || strcmp(sigabbrev_np(i), name) != 0)
			continue;
		draft_set(pair->draft, "stop_signal", "%s", name);
		return;
	}
	note_bad(pair, setting);
}

/* ---- all ---- */

#define WHY_RESTART "no equivalent: what ends is started again, with pauses that grow"
#define WHY_END     "no equivalent: the group of a program is told to end by TERM, then by KILL"
#define WHY_FOLDERS "no equivalent: preforkd makes no folders; see tmpfiles.d(5)"
#define WHY_LOG     "no equivalent: the log is the daemon's"
#define WHY_LIMIT   "no equivalent; see limit_*"
#define WHY_SECRET  "no equivalent: preforkd passes no credentials on"

static const struct unit_rule rules[] = {
	/* what is served, and its environment: see the other files */
	{"Type", NULL, NULL},
	{"ExecStart", NULL, NULL},
	{"Standard*", NULL, NULL},
	{"Environment", NULL, NULL},
	{"EnvironmentFile", NULL, NULL},
	/* the process */
	{"User", take_user, NULL},
	{"Group", take_group, NULL},
	{"DynamicUser", take_dynamic_user, NULL},
	{"SupplementaryGroups", NULL, "a user has all groups that group(5) gives it"},
	{"WorkingDirectory", take_directory, NULL},
	{"RootDirectory", take_root, NULL},
	{"UMask", take_umask, NULL},
	{"Nice", take_nice, NULL},
	{"NoNewPrivileges", take_privileges, NULL},
	{"LimitNOFILE", take_limit, NULL},
	{"LimitNPROC", take_limit, NULL},
	{"LimitAS", take_limit, NULL},
	{"LimitCORE", take_limit, NULL},
	{"LimitCPU", take_limit, NULL},
	{"Limit*", NULL, WHY_LIMIT},
	{"PassEnvironment", NULL, "no equivalent: a program has the environment of the daemon"},
	{"UnsetEnvironment", NULL, "no equivalent: a program has the environment of the daemon"},
	/* its times */
	{"TimeoutStopSec", take_stop_timeout, NULL},
	{"TimeoutStartSec", take_start_timeout, NULL},
	{"TimeoutSec", take_both_timeouts, NULL},
	{"RuntimeMaxSec", take_runtime, NULL},
	{"KillSignal", take_signal, NULL},
	{"KillMode", NULL, WHY_END},
	{"SendSIG*", NULL, WHY_END},
	{"RestartKillSignal", NULL, WHY_END},
	{"FinalKillSignal", NULL, WHY_END},
	{"Timeout*", NULL, WHY_END},
	{"RuntimeRandomizedExtraSec", NULL, "no equivalent"},
	/* what is not done */
	{"Exec*", NULL, WHY_COMMAND},
	{"Restart*", NULL, WHY_RESTART},
	{"StartLimit*", NULL, WHY_RESTART},
	{"SuccessExitStatus", NULL, WHY_RESTART},
	{"RemainAfterExit", NULL, WHY_RESTART},
	{"ExitType", NULL, WHY_RESTART},
	{"Watchdog*", NULL, "no equivalent: programs are not watched"},
	{"NotifyAccess", NULL, "no equivalent: what counts is what the program itself sends"},
	{"PIDFile", NULL, "no equivalent: a program stays in the foreground"},
	{"GuessMainPID", NULL, "no equivalent: a program stays in the foreground"},
	{"BusName", NULL, "no equivalent: the program is there from the start"},
	{"Sockets", NULL, "import these sockets with it: the program gets all of them"},
	{"FileDescriptorStore*", NULL, "no equivalent: nothing is stored for programs"},
	{"USBFunction*", NULL, "no equivalent: preforkd listens on TCP, UDP and Unix sockets"},
	{"NonBlocking", NULL, "no equivalent: the sockets block"},
	{"RootDirectoryStartOnly", NULL, "no equivalent: there is one program"},
	{"*Directory", NULL, WHY_FOLDERS},
	{"*DirectoryMode", NULL, WHY_FOLDERS},
	{"*DirectoryPreserve", NULL, WHY_FOLDERS},
	{"Syslog*", NULL, WHY_LOG},
	{"Log*", NULL, WHY_LOG},
	{"TTY*", NULL, "no equivalent: there is no terminal"},
	{"Utmp*", NULL, "no equivalent: there is no terminal"},
	{"PAMName", NULL, "no equivalent: no session is opened"},
	{"*Credential*", NULL, WHY_SECRET},
	{"IgnoreSIGPIPE", NULL, "no equivalent: signals are as they are by default"},
	/* who may connect */
	{"IPAddress*", unit_take_address, NULL},
	{"RestrictNetworkInterfaces", unit_take_barrier, NULL},
	/* what it may not */
	{"Protect*", NULL, WHY_HARDENING},
	{"Private*", NULL, WHY_HARDENING},
	{"Restrict*", NULL, WHY_HARDENING},
	{"SystemCall*", NULL, WHY_HARDENING},
	{"*Capabilit*", NULL, WHY_HARDENING},
	{"SecureBits", NULL, WHY_HARDENING},
	{"ReadWritePaths", NULL, WHY_HARDENING},
	{"ReadOnlyPaths", NULL, WHY_HARDENING},
	{"InaccessiblePaths", NULL, WHY_HARDENING},
	{"*ExecPaths", NULL, WHY_HARDENING},
	{"ReadWriteDirectories", NULL, WHY_HARDENING},
	{"TemporaryFileSystem", NULL, WHY_HARDENING},
	{"Bind*Paths", NULL, WHY_HARDENING},
	{"Mount*", NULL, WHY_HARDENING},
	{"Extension*", NULL, WHY_HARDENING},
	{"Root*", NULL, WHY_HARDENING},
	{"LockPersonality", NULL, WHY_HARDENING},
	{"MemoryDenyWriteExecute", NULL, WHY_HARDENING},
	{"RemoveIPC", NULL, WHY_HARDENING},
	{"KeyringMode", NULL, WHY_HARDENING},
	{"ProcSubset", NULL, WHY_HARDENING},
	{"NetworkNamespacePath", NULL, WHY_HARDENING},
	{"IPCNamespacePath", NULL, WHY_HARDENING},
	{"SELinuxContext", NULL, WHY_HARDENING},
	{"AppArmorProfile", NULL, WHY_HARDENING},
	{"Smack*", NULL, WHY_HARDENING},
	{"SocketBind*", NULL, WHY_HARDENING},
	{"Personality", NULL, WHY_HARDENING},
	/* how much it may */
	{"*Accounting", NULL, WHY_RESOURCES},
	{"CPU*", NULL, WHY_RESOURCES},
	{"Memory*", NULL, WHY_RESOURCES},
	{"IO*", NULL, WHY_RESOURCES},
	{"BlockIO*", NULL, WHY_RESOURCES},
	{"Tasks*", NULL, WHY_RESOURCES},
	{"Device*", NULL, WHY_RESOURCES},
	{"Managed*", NULL, WHY_RESOURCES},
	{"OOM*", NULL, WHY_RESOURCES},
	{"NUMA*", NULL, WHY_RESOURCES},
	{"Startup*", NULL, WHY_RESOURCES},
	{"AllowedCPUs", NULL, WHY_RESOURCES},
	{"AllowedMemoryNodes", NULL, WHY_RESOURCES},
	{"Slice", NULL, WHY_RESOURCES},
	{"Delegate*", NULL, WHY_RESOURCES},
	{"DisableControllers", NULL, WHY_RESOURCES},
	{"IP*FilterPath", NULL, WHY_RESOURCES},
	{"TimerSlackNSec", NULL, WHY_RESOURCES},
	{"CoredumpFilter", NULL, WHY_LIMIT},
	{NULL, NULL, NULL},
};

void unit_take_service(struct unit_pair *pair)
{
	unit_take(pair, pair->service, "Service", rules);
	settle_user(pair);
}
