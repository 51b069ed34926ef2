/* SPDX-License-Identifier: ISC */
/* Whether a program could be executed, tried by a process that becomes who would execute it. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "config/program.h"

/* What could not be done. */
enum step {
	STEP_NONE,
	STEP_CHROOT,
	STEP_BECOME,
	STEP_DIRECTORY,
	STEP_PROGRAM,
	STEP_FORMAT,
	STEP_INTERPRETER
};

struct outcome {
	enum step step;
	int error;
	char interpreter[256];
};

static int become(const struct service_config *s)
{
	const struct resolved_user *who = &s->who;

	if ((who->change_user || (who->change_group && geteuid() == 0)) &&
	    setgroups(who->group_count, who->groups) < 0)
		return -1;
	if (who->change_group && setresgid(who->gid, who->gid, who->gid) < 0)
		return -1;
	return who->change_user ? setresuid(who->uid, who->uid, who->uid) : 0;
}

static int try_execute(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -1;
	if (!S_ISREG(st.st_mode)) {
		errno = S_ISDIR(st.st_mode) ? EISDIR : EACCES;
		return -1;
	}
	return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS);
}

/* The first line of a script names its interpreter; without one exec(2) says of the script that it
 * does not exist. Every other format has NUL bytes at its beginning. */
static void look_inside(const char *path, struct outcome *out)
{
	char head[sizeof(out->interpreter)], *name = head + 2;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof(head) - 1);

	fd_close(&fd);
	if (n < 0 || memchr(head, '\0', (size_t)n))
		return; /* what may be executed need not be readable */
	head[n] = '\0';
	if (strncmp(head, "#!", 2) == 0) {
		name += strspn(name, " \t");
		name[strcspn(name, " \t\n")] = '\0';
		memcpy(out->interpreter, name, strlen(name) + 1);
	}
	errno = ENOEXEC;
	if (!*out->interpreter)
		out->step = STEP_FORMAT;
	else if (try_execute(out->interpreter) < 0)
		out->step = STEP_INTERPRETER;
}

static void attempt(const struct service_config *s, const char *path, struct outcome *out)
{
	if (*s->chroot && (chroot(s->chroot) < 0 || chdir("/") < 0))
		out->step = STEP_CHROOT;
	else if (become(s) < 0)
		out->step = STEP_BECOME;
	else if (chdir(*s->directory ? s->directory : "/") < 0)
		out->step = STEP_DIRECTORY;
	else if (try_execute(path) < 0)
		out->step = STEP_PROGRAM;
	else
		look_inside(path, out);
	out->error = errno;
}

static int try_in_child(const struct service_config *s, const char *path, struct outcome *out)
{
	int fds[2];
	ssize_t n;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	pid = _Fork();
	if (pid == 0) {
		attempt(s, path, out);
		_exit(fd_write_all(fds[1], out, sizeof(*out)) < 0 ? EX_OSERR : 0);
	}
	fd_close(&fds[1]);
	do {
		n = read(fds[0], out, sizeof(*out));
	} while (n < 0 && errno == EINTR);
	fd_close(&fds[0]);
	if (pid < 0)
		return -1;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (n == (ssize_t)sizeof(*out))
		return 0;
	errno = EPROTO;
	return -1;
}

int program_check(const struct service_config *s, struct error *err)
{
	const char *path = config_program(s)->items[0];
	struct outcome out = {.step = STEP_NONE};
	const char *reason;

	if (try_in_child(s, path, &out) < 0)
		return error_set(err, EX_OSERR, "%s: trying it: %s", path, strerror(errno));
	reason = strerror(out.error);
	switch (out.step) {
	case STEP_NONE:
		return 0;
	case STEP_CHROOT:
		return error_set(err, out.error == EPERM ? EX_NOPERM : EX_CONFIG,
				 "%s: its chroot %s: %s", path, s->chroot, reason);
	case STEP_BECOME:
		return error_set(
			err, EX_NOPERM,
			"%s: the user or the group of the service cannot be changed to: %s", path,
			reason);
	case STEP_DIRECTORY:
		return error_set(err, EX_CONFIG, "%s: its directory %s: %s", path, s->directory,
				 reason);
	case STEP_PROGRAM:
		return error_set(err, EX_CONFIG, "%s: %s%s%s%s", path, reason,
				 *s->user ? " (as user " : "", s->user, *s->user ? ")" : "");
	case STEP_FORMAT:
		return error_set(err, EX_CONFIG, "%s: %s; a script begins with #!, as in #!/bin/sh",
				 path, reason);
	case STEP_INTERPRETER:
		break;
	}
	return error_set(err, EX_CONFIG, "%s: its interpreter %s: %s", path, out.interpreter,
			 reason);
}
