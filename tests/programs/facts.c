/* SPDX-License-Identifier: ISC */
/*
 * A program that tells its client, which is its stdout, how it was executed. Records of KEY=VALUE,
 * each with a zero byte at the end; env, arg and fd come as often as there are any. With the
 * argument "wait" it then reads to the end of its input.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define DESCRIPTORS 4096

static void end_record(void)
{
	putchar('\0');
}

static void put_text(const char *key, const char *value)
{
	printf("%s=%s", key, value);
	end_record();
}

static void put_number(const char *key, long long value)
{
	printf("%s=%lld", key, value);
	end_record();
}

static void put_ids(void)
{
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid, groups[64];
	int count = getgroups(64, groups);

	if (getresuid(&ruid, &euid, &suid) < 0 || getresgid(&rgid, &egid, &sgid) < 0)
		return;
	printf("uid=%u,%u,%u", ruid, euid, suid);
	end_record();
	printf("gid=%u,%u,%u", rgid, egid, sgid);
	end_record();
	for (int i = 0; i < count; i++)
		put_number("group", groups[i]);
}

static void put_process(void)
{
	char cwd[PATH_MAX];
	mode_t mask = umask(0);
	int deathsig = 0;

	put_number("pid", getpid());
	put_number("ppid", getppid());
	put_number("pgid", getpgrp());
	put_number("sid", getsid(0));
	put_text("cwd", getcwd(cwd, sizeof(cwd)) ? cwd : "?");
	put_number("umask", mask);
	put_number("nice", getpriority(PRIO_PROCESS, 0));
	prctl(PR_GET_PDEATHSIG, &deathsig);
	put_number("pdeathsig", deathsig);
	put_number("no_new_privs", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
}

static void put_limits(void)
{
	static const struct {
		const char *name;
		int resource;
	} limits[] = {
		{"nofile", RLIMIT_NOFILE}, {"as", RLIMIT_AS},     {"cpu", RLIMIT_CPU},
		{"nproc", RLIMIT_NPROC},   {"core", RLIMIT_CORE},
	};

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct rlimit limit = {0};

		getrlimit((__rlimit_resource_t)limits[i].resource, &limit);
		printf("limit=%s,%lld,%lld", limits[i].name, (long long)limit.rlim_cur,
		       (long long)limit.rlim_max);
		end_record();
	}
}

static void put_descriptors(void)
{
	for (int fd = 0; fd < DESCRIPTORS; fd++) {
		struct stat st;

		if (fstat(fd, &st) < 0)
			continue;
		printf("fd=%d,%s,%llu", fd,
		       S_ISSOCK(st.st_mode)   ? "socket"
		       : S_ISFIFO(st.st_mode) ? "pipe"
					      : "other",
		       (unsigned long long)st.st_ino);
		end_record();
	}
	put_number("flags", fcntl(0, F_GETFL));
}

static void put_signals(void)
{
	sigset_t mask, pending;

	sigprocmask(SIG_BLOCK, NULL, &mask);
	sigpending(&pending);
	for (int i = 1; i < NSIG; i++) {
		struct sigaction action;

		if (sigismember(&mask, i) == 1)
			put_number("blocked", i);
		if (sigismember(&pending, i) == 1)
			put_number("pending", i);
		if (sigaction(i, NULL, &action) == 0 && action.sa_handler != SIG_DFL)
			put_number("not_default", i);
	}
}

static void put_address(const char *key, const struct sockaddr *any, socklen_t len)
{
	char ip[INET6_ADDRSTRLEN] = "?";
	const struct sockaddr_in *in = (const void *)any;
	const struct sockaddr_in6 *in6 = (const void *)any;
	const struct sockaddr_un *un = (const void *)any;

	if (any->sa_family == AF_UNIX) {
		bool abstract = len > sizeof(sa_family_t) && un->sun_path[0] == '\0';
		int skip = abstract ? 1 : 0;

		printf("%s=%s%.*s", key, abstract ? "@" : "",
		       (int)(len - sizeof(sa_family_t)) - skip, un->sun_path + skip);
	} else if (any->sa_family == AF_INET) {
		inet_ntop(AF_INET, &in->sin_addr, ip, sizeof(ip));
		printf("%s=%s,%u", key, ip, ntohs(in->sin_port));
	} else {
		inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof(ip));
		printf("%s=%s,%u", key, ip, ntohs(in6->sin6_port));
	}
	end_record();
}

static void put_socket(void)
{
	union {
		struct sockaddr any;
		struct sockaddr_storage storage;
	} a = {0};
	socklen_t len = sizeof(a);
	struct timeval time = {0};

	if (getpeername(0, &a.any, &len) == 0)
		put_address("peer", &a.any, len);
	len = sizeof(a);
	if (getsockname(1, &a.any, &len) == 0)
		put_address("local", &a.any, len);
	len = sizeof(time);
	if (getsockopt(0, SOL_SOCKET, SO_RCVTIMEO, &time, &len) == 0)
		put_number("receive_timeout", time.tv_sec * 1000000 + time.tv_usec);
	len = sizeof(time);
	if (getsockopt(0, SOL_SOCKET, SO_SNDTIMEO, &time, &len) == 0)
		put_number("send_timeout", time.tv_sec * 1000000 + time.tv_usec);
}

int main(int argc, char **argv)
{
	char waste[4096];

	put_ids();
	put_process();
	put_limits();
	put_descriptors();
	put_signals();
	put_socket();
	for (int i = 0; i < argc; i++)
		put_text("arg", argv[i]);
	for (char **e = environ; *e; e++)
		put_text("env", *e);
	if (fflush(stdout) != 0)
		return 1;
	if (argc > 1 && strcmp(argv[1], "wait") == 0)
		while (read(0, waste, sizeof(waste)) > 0)
			;
	return 0;
}
