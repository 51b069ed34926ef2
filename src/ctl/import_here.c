/* SPDX-License-Identifier: ISC */
/* What a draft needs and this machine has not. preforkd refuses a configuration as a whole, where
 * inetd, xinetd and systemd go on without the one service. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/address.h"
#include "base/parse.h"
#include "ctl/import.h"

/* ---- users ---- */

static bool is_number(const char *name)
{
	uint64_t id;

	return parse_uint(name, 0, UINT32_MAX - 1, &id) == 0;
}

static bool has_group(const char *name)
{
	/* cppcheck-suppress getgrnamCalled; one thread */
	return getgrnam(name) || is_number(name);
}

static const struct passwd *find_user(const char *name)
{
	uint64_t id;

	/* cppcheck-suppress getpwnamCalled; one thread */
	const struct passwd *user = getpwnam(name);
	if (user || parse_uint(name, 0, UINT32_MAX - 1, &id) < 0)
		return user;
	/* cppcheck-suppress getpwuidCalled; one thread */
	return getpwuid((uid_t)id);
}

static void look_for_users(struct draft *draft)
{
	static const char *const users[] = {"user", "socket_user"};
	static const char *const groups[] = {"group", "socket_group"};

	for (size_t i = 0; i < 2; i++) {
		const char *user = draft_value(draft, users[i]);
		const char *group = draft_value(draft, groups[i]);

		if (*user && !find_user(user) && !(*group && is_number(user)))
			draft_off(draft, "there is no user \"%s\" on this machine", user);
		if (*group && !has_group(group))
			draft_off(draft, "there is no group \"%s\" on this machine", group);
	}
}

/* ---- programs ---- */

static int become(const struct draft *draft)
{
	const char *root = draft_value(draft, "chroot"), *name = draft_value(draft, "user");
	const char *group = draft_value(draft, "group");
	/* cppcheck-suppress getgrnamCalled; one thread */
	const struct group *entry = *group ? getgrnam(group) : NULL;
	const struct passwd *user = *name ? find_user(name) : NULL;

	if (*root && (chroot(root) < 0 || chdir("/") < 0))
		return -1;
	if (user && initgroups(user->pw_name, user->pw_gid) < 0)
		return -1;
	if (entry && setgid(entry->gr_gid) < 0)
		return -1;
	if (user && !entry && setgid(user->pw_gid) < 0)
		return -1;
	return user ? setuid(user->pw_uid) : 0;
}

static int try_file(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno;
	if (!S_ISREG(st.st_mode))
		return EACCES;
	return access(path, X_OK) < 0 ? errno : 0;
}

/* The first line of a script names it. */
static int try_interpreter(const char *path)
{
	char line[256] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
	char *name = line + 2;

	if (n < 3 || line[0] != '#' || line[1] != '!')
		return 0;
	name += strspn(name, " \t");
	name[strcspn(name, " \t\n")] = '\0';
	return *name ? try_file(name) : 0;
}

/* In a process of its own. Its exit code is an errno. */
static int try_program(const struct draft *draft, const char *path)
{
	const char *directory = draft_value(draft, "directory");
	int wrong;

	if (geteuid() == 0 && become(draft) < 0)
		return errno;
	if (*directory && chdir(directory) < 0)
		return errno;
	wrong = try_file(path);
	return wrong ? wrong : try_interpreter(path);
}

static void look_for(struct draft *draft, const char *path)
{
	int status = 0;
	pid_t pid;

	/* Only root can look into a root directory of its own. */
	if (draft->off.count || (*draft_value(draft, "chroot") && geteuid() != 0))
		return;
	if (*path != '/') {
		draft_off(draft, "%s: the program must be an absolute path", path);
		return;
	}
	pid = fork();
	if (pid == 0)
		_exit(try_program(draft, path));
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status))
		draft_off(draft, "on this machine it cannot be started: %s: %s", path,
			  strerror(WEXITSTATUS(status)));
}

static void look_for_program(struct draft *draft)
{
	if (*draft_value(draft, "exec"))
		look_for(draft, draft_value(draft, "exec"));
	if (*draft_value(draft, "acceptor"))
		look_for(draft, draft_value(draft, "acceptor"));
	if (draft->program)
		look_for(draft, draft->program);
}

/* ---- addresses ---- */

struct taken {
	struct endpoint *endpoints;
	size_t count;
	const struct draft *draft;
};

struct look {
	struct import *import;
	struct taken *taken;
	size_t count;
};

static const struct draft *who_listens(const struct look *look, const struct endpoint *endpoint)
{
	for (size_t i = 0; i < look->count; i++)
		for (size_t e = 0; e < look->taken[i].count; e++)
			if (!look->taken[i].draft->off.count &&
			    endpoint_equal(endpoint, &look->taken[i].endpoints[e]))
				return look->taken[i].draft;
	return NULL;
}

static void look_at_address(struct look *look, struct draft *draft, const char *text)
{
	struct taken taken = {.draft = draft};
	struct address address;
	struct error err = {0};
	const struct draft *other = NULL;

	if (address_parse(text, &address, &err) < 0 ||
	    address_resolve_listen(&address, &taken.endpoints, &taken.count, &err) < 0) {
		draft_off(draft, "%s", err.text);
		return;
	}
	for (size_t i = 0; i < taken.count && !other; i++)
		other = who_listens(look, &taken.endpoints[i]);
	if (other)
		draft_off(draft, "%s is listened on already, by that of %s", text,
			  other->from.items[0]);
	if (taken.count > 1 && strcmp(draft_value(draft, "pass_as"), "stdin") == 0)
		draft_off(draft, "%s is several sockets, and standard input is one", text);
	look->taken = arena_more(&look->import->arena, look->taken, look->count, look->count + 1,
				 sizeof(*look->taken));
	look->taken[look->count++] = taken;
}

static void look_at_draft(struct look *look, struct draft *draft)
{
	const struct texts *listen = draft_values(draft, "listen");

	draft_settle_access(draft);
	look_for_users(draft);
	look_for_program(draft);
	for (size_t i = 0; listen && i < listen->count; i++)
		look_at_address(look, draft, listen->items[i]);
}

void import_look_here(struct import *import)
{
	struct look look = {.import = import};

	for (size_t i = 0; i < import->draft_count; i++)
		if (!import->drafts[i]->none)
			look_at_draft(&look, import->drafts[i]);
	for (size_t i = 0; i < look.count; i++)
		free(look.taken[i].endpoints);
}
