/* SPDX-License-Identifier: ISC */
/*
 * The limit to hold a preforking server against: workers that accept, read, write and close, or
 * receive and send, or start a program and wait for it, and nothing else. No limits, no counters,
 * no time-outs, no names. Whatever a real server costs beyond this is what its features cost.
 */
#include <config.h>

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#define WORKERS_MAX 4096

struct plan {
	const char *kind;  /* tcp, unix, udp */
	const char *where; /* a port or a path */
	int workers;
	char **program; /* and its arguments, or NULL */
	void (*work)(const struct plan *plan, int listener);
};

/* Written to by one worker each: every page of it that no client needs stays untouched. */
static char buffer[65536];

static void serve_echo(const struct plan *plan, int listener)
{
	(void)plan;
	for (;;) {
		ssize_t got;
		int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (client < 0)
			continue;
		while ((got = read(client, buffer, sizeof(buffer))) > 0)
			if (write(client, buffer, (size_t)got) != got)
				break;
		close(client);
	}
}

static void serve_daytime(const struct plan *plan, int listener)
{
	static const char line[] = "Thu Jan  1 00:00:00 1970\r\n";

	(void)plan;
	for (;;) {
		int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (client < 0)
			continue;
		if (write(client, line, sizeof(line) - 1) < 0)
			warn("write");
		close(client);
	}
}

static void serve_datagrams(const struct plan *plan, int listener)
{
	(void)plan;
	for (;;) {
		struct sockaddr_in from;
		socklen_t len = sizeof(from);
		ssize_t got = recvfrom(listener, buffer, sizeof(buffer), 0,
				       (struct sockaddr *)&from, &len);

		if (got >= 0)
			sendto(listener, buffer, (size_t)got, 0, (struct sockaddr *)&from, len);
	}
}

/* What a program without tricks uses; bench/README says what vfork would save. */
static pid_t program_start(char **program, int client)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, client, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, client, STDOUT_FILENO);
	errno = posix_spawn(&pid, program[0], &actions, NULL, program, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (errno != 0)
		err(EX_UNAVAILABLE, "%s", program[0]);
	return pid;
}

static void serve_program(const struct plan *plan, int listener)
{
	/* The program's, which inherits what is ignored. */
	signal(SIGPIPE, SIG_DFL);
	for (;;) {
		int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		pid_t pid;

		if (client < 0)
			continue;
		pid = program_start(plan->program, client);
		close(client);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
}

static int usage(void)
{
	fputs("usage: bare tcp|unix|udp PORT-or-PATH WORKERS [--daytime | --exec PROGRAM "
	      "[ARG...]]\n",
	      stderr);
	return EX_USAGE;
}

static int number_read(const char *text, int least, int most)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (end == text || *end != '\0' || value < least || value > most)
		errx(EX_USAGE, "%s: not a number from %d to %d", text, least, most);
	return (int)value;
}

static bool work_read(struct plan *plan, int argc, char **argv)
{
	plan->program = NULL;
	plan->work = strcmp(plan->kind, "udp") == 0 ? serve_datagrams : serve_echo;
	if (argc == 0)
		return true;
	if (argc == 1 && strcmp(argv[0], "--daytime") == 0) {
		plan->work = serve_daytime;
	} else if (argc > 1 && strcmp(argv[0], "--exec") == 0) {
		plan->work = serve_program;
		plan->program = argv + 1;
	} else {
		return false;
	}
	return strcmp(plan->kind, "udp") != 0;
}

static bool plan_read(struct plan *plan, int argc, char **argv)
{
	if (argc < 4)
		return false;
	plan->kind = argv[1];
	plan->where = argv[2];
	plan->workers = number_read(argv[3], 1, WORKERS_MAX);
	if (strcmp(plan->kind, "tcp") != 0 && strcmp(plan->kind, "unix") != 0 &&
	    strcmp(plan->kind, "udp") != 0)
		return false;
	return work_read(plan, argc - 4, argv + 4);
}

static int bind_unix(const char *path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(to.sun_path))
		errx(EX_USAGE, "%s: too long for a Unix socket", path);
	strcpy(to.sun_path, path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		err(EX_UNAVAILABLE, "%s", path);
	return fd;
}

static int bind_inet(const char *port, int type)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	int on = 1;
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	to.sin_port = htons((uint16_t)number_read(port, 0, 65535));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		err(EX_UNAVAILABLE, "127.0.0.1:%s", port);
	return fd;
}

static int listener_open(const struct plan *plan)
{
	bool datagrams = strcmp(plan->kind, "udp") == 0;
	int fd;

	if (strcmp(plan->kind, "unix") == 0)
		fd = bind_unix(plan->where);
	else
		fd = bind_inet(plan->where, datagrams ? SOCK_DGRAM : SOCK_STREAM);
	if (!datagrams && listen(fd, SOMAXCONN) < 0)
		err(EX_OSERR, "listen");
	return fd;
}

/* Where clients find us, on standard output, once clients may come. */
static void announce(const struct plan *plan, int listener)
{
	struct sockaddr_in at = {0};
	socklen_t len = sizeof(at);

	if (strcmp(plan->kind, "unix") == 0)
		printf("path %s\n", plan->where);
	else if (getsockname(listener, (struct sockaddr *)&at, &len) == 0)
		printf("port %u\n", (unsigned)ntohs(at.sin_port));
	if (fflush(stdout) != 0)
		err(EX_IOERR, "standard output");
}

static pid_t worker_start(const struct plan *plan, int listener, const sigset_t *mask)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	sigprocmask(SIG_SETMASK, mask, NULL);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(EX_OSERR);
	plan->work(plan, listener);
	_exit(0);
}

static void stop(const struct plan *plan, const pid_t *workers, int count)
{
	for (int i = 0; i < count; i++)
		kill(workers[i], SIGTERM);
	while (wait(NULL) > 0 || errno == EINTR)
		;
	if (strcmp(plan->kind, "unix") == 0)
		unlink(plan->where);
}

int main(int argc, char **argv)
{
	static pid_t workers[WORKERS_MAX];
	struct plan plan;
	siginfo_t info;
	sigset_t waited, mask;
	int listener, number;
	int count = 0;

	if (!plan_read(&plan, argc, argv))
		return usage();
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&waited);
	sigaddset(&waited, SIGTERM);
	sigaddset(&waited, SIGINT);
	sigaddset(&waited, SIGCHLD);
	sigprocmask(SIG_BLOCK, &waited, &mask);
	listener = listener_open(&plan);
	while (count < plan.workers) {
		workers[count] = worker_start(&plan, listener, &mask);
		if (workers[count] < 0)
			break;
		count++;
	}
	if (count == plan.workers)
		announce(&plan, listener);
	else
		kill(getpid(), SIGCHLD);
	number = sigwaitinfo(&waited, &info);
	stop(&plan, workers, count);
	if (number == SIGCHLD)
		errx(EX_OSERR, "a worker could not start, or ended (%d, status or signal %d)",
		     (int)info.si_pid, info.si_status);
	return 0;
}
