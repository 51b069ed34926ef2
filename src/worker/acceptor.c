/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/mem.h"
#include "worker/acceptor.h"
#include "worker/stop.h"
#include "worker/worker.h"

#define FIRST_PASSED 3

/* ---- descriptors ---- */

static int failed(struct error *err, const char *what)
{
	return error_set(err, EX_OSERR, "%s: %s", what, strerror(errno));
}

static int replace(int fd, int with, struct error *err)
{
	return dup2(with, fd) < 0 ? failed(err, "dup2") : 0;
}

/* Out of the way first: one may be where another has to go. */
static int *move_up(const struct acceptor_job *job, int above, struct error *err)
{
	int *up = mem_new(job->socket_count, sizeof(*up));

	for (size_t i = 0; i < job->socket_count; i++) {
		up[i] = fcntl(job->sockets[i], F_DUPFD_CLOEXEC, above);
		if (up[i] < 0) {
			failed(err, "moving the sockets");
			return NULL;
		}
	}
	return up;
}

static int pass_as_stdin(const struct acceptor_job *job, const int *up, struct error *err)
{
	if (replace(STDIN_FILENO, up[0], err) < 0)
		return -1;
	return job->process->type == SOCK_DGRAM ? replace(STDOUT_FILENO, up[0], err) : 0;
}

static int pass_all(const struct acceptor_job *job, const int *up, struct error *err)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return failed(err, "/dev/null");
	if (replace(STDIN_FILENO, null, err) < 0)
		return -1;
	for (size_t i = 0; i < job->socket_count; i++)
		if (replace(FIRST_PASSED + (int)i, up[i], err) < 0)
			return -1;
	return 0;
}

static int arrange_descriptors(const struct acceptor_job *job, struct error *err)
{
	int above = FIRST_PASSED + (job->names ? (int)job->socket_count : 0);
	int *up = move_up(job, above, err);

	/* stderr is the output already. */
	if (!up || replace(STDOUT_FILENO, STDERR_FILENO, err) < 0)
		return -1;
	if ((job->names ? pass_all(job, up, err) : pass_as_stdin(job, up, err)) < 0)
		return -1;
	return close_range((unsigned)above, UINT_MAX, 0) < 0 ? failed(err, "closing") : 0;
}

/* ---- signals ---- */

static void unblock_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* ---- the environment ---- */

/* The service's own has none of these names. */
static char **compose_environment(const struct acceptor_job *job)
{
	const struct program *program = job->program;
	size_t n = program->environment_count;
	char **list = mem_new(n + 5, sizeof(char *));

	memcpy(list, program->environment, n * sizeof(char *));
	if (job->names) {
		list[n++] = mem_format("LISTEN_FDS=%zu", job->socket_count);
		list[n++] = mem_format("LISTEN_PID=%d", (int)getpid());
		list[n++] = mem_format("LISTEN_FDNAMES=%s", job->names);
	}
	if (job->notify)
		list[n++] = mem_format("NOTIFY_SOCKET=%s", job->notify);
	return list;
}

/* ---- all ---- */

static int execute(const struct acceptor_job *job, struct error *err)
{
	char **environment = compose_environment(job);
	char *const *argv = job->program->argv;

	unblock_signals();
	execve(argv[0], argv, environment);
	return error_set(err, EX_UNAVAILABLE, "%s: %s", argv[0], strerror(errno));
}

_Noreturn void acceptor_run(const struct acceptor_job *job)
{
	struct error err = {.code = EX_OSERR};

	if (setpgid(0, 0) < 0 || dup2(job->output, STDERR_FILENO) < 0)
		_exit(EX_OSERR);
	worker_leave_terminal();
	stop_default_signals();
	if (arrange_descriptors(job, &err) == 0 && worker_change(job->process, &err) == 0)
		execute(job, &err);
	dprintf(STDERR_FILENO, "%s\n", err.text);
	_exit(err.code);
}
