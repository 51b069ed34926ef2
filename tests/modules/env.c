/* SPDX-License-Identifier: ISC */
/*
 * Tells each client what process serves it, in one line of KEY=VALUE and a newline; comm is last
 * because it may hold spaces, and title is in parentheses for the same reason:
 *
 *	uid=0 gid=0 groups=0,4 cwd=/ umask=0022 nice=0 nofile=1024:4096 fds=0=/dev/null,1=...
 *	env=PATH,HOME sigmask=0 nnp=0 pdeathsig=9 pid=9 ppid=8 pgid=9 title=(...) comm=...
 */
#define _GNU_SOURCE
#include <preforkd/handler.h>
#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* All three are to be the same; a worker that kept one shows here. */
static void put_id(FILE *out, const char *key, unsigned real, unsigned effective, unsigned saved)
{
	if (real == effective && effective == saved)
		fprintf(out, "%s=%u ", key, real);
	else
		fprintf(out, "%s=%u/%u/%u ", key, real, effective, saved);
}

static void put_ids(FILE *out)
{
	gid_t groups[64];
	int count = getgroups(64, groups);
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid;

	if (getresuid(&ruid, &euid, &suid) < 0 || getresgid(&rgid, &egid, &sgid) < 0)
		return;
	put_id(out, "uid", ruid, euid, suid);
	put_id(out, "gid", rgid, egid, sgid);
	fputs("groups=", out);
	for (int i = 0; i < count; i++)
		fprintf(out, "%s%u", i == 0 ? "" : ",", groups[i]);
}

static void put_directory(FILE *out)
{
	char cwd[PATH_MAX];
	mode_t mask = umask(0);

	umask(mask);
	fprintf(out, " cwd=%s umask=%04o", getcwd(cwd, sizeof(cwd)) ? cwd : "?", mask);
}

static void put_limits(FILE *out)
{
	struct rlimit limit = {0};

	getrlimit(RLIMIT_NOFILE, &limit);
	fprintf(out, " nice=%d nofile=%llu:%llu", getpriority(PRIO_PROCESS, 0),
		(unsigned long long)limit.rlim_cur, (unsigned long long)limit.rlim_max);
}

static void put_descriptors(FILE *out)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	const char *comma = "";

	fputs(" fds=", out);
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		char target[PATH_MAX], *end;
		long fd = strtol(entry->d_name, &end, 10);
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target));

		if (n < 0 || *end != '\0' || fd == dirfd(dir))
			continue;
		fprintf(out, "%s%s=%.*s", comma, entry->d_name, (int)n, target);
		comma = ",";
	}
	closedir(dir);
}

/* The names alone: /proc/PID/environ is where the title is. */
static void put_environment(FILE *out)
{
	fputs(" env=", out);
	for (char **e = environ; *e; e++)
		fprintf(out, "%s%.*s", e == environ ? "" : ",", (int)strcspn(*e, "="), *e);
}

static void put_signals(FILE *out)
{
	unsigned long long bits = 0;
	int deathsig = 0;
	sigset_t mask;

	sigprocmask(SIG_BLOCK, NULL, &mask);
	for (int i = 1; i <= 64; i++)
		if (sigismember(&mask, i) == 1)
			bits |= 1ULL << (i - 1);
	prctl(PR_GET_PDEATHSIG, &deathsig);
	fprintf(out, " sigmask=%llx nnp=%d pdeathsig=%d", bits,
		prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), deathsig);
}

static void put_names(FILE *out)
{
	char title[4096];
	char comm[17] = "";
	size_t n = 0;
	FILE *file = fopen("/proc/self/cmdline", "re");

	if (file) {
		n = fread(title, 1, sizeof(title), file);
		fclose(file);
	}
	while (n > 0 && title[n - 1] == '\0')
		n--;
	for (size_t i = 0; i < n; i++)
		if (title[i] == '\0' || title[i] == '\n')
			title[i] = ' ';
	prctl(PR_GET_NAME, comm);
	fprintf(out, " pid=%d ppid=%d pgid=%d title=(%.*s) comm=%s\n", getpid(), getppid(),
		getpgrp(), (int)n, title, comm);
}

static char *report(size_t *size)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, size);

	if (!out)
		return NULL;
	put_ids(out);
	put_directory(out);
	put_limits(out);
	put_descriptors(out);
	put_environment(out);
	put_signals(out);
	put_names(out);
	fclose(out);
	return text;
}

static int env_serve(void *state, const struct preforkd_client *client)
{
	size_t size = 0;
	char *text = report(&size);
	int result = text ? preforkd_write(client->fd, text, size) : -1;

	(void)state;
	free(text);
	return result;
}

static ssize_t env_answer(void *state, const struct preforkd_datagram *datagram, void *reply,
			  size_t room)
{
	size_t size = 0;
	char *text = report(&size);

	(void)state;
	(void)datagram;
	if (!text)
		return -1;
	if (size > room)
		size = room;
	memcpy(reply, text, size);
	free(text);
	return (ssize_t)size;
}

const struct preforkd_handler preforkd_handler = {
	.abi = PREFORKD_ABI,
	.name = "env",
	.serve = env_serve,
	.answer = env_answer,
};
