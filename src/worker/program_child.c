/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "worker/program.h"

static int set_limit(const struct resource_limit *l)
{
	const struct rlimit limit = {l->value, l->value};

	return setrlimit((__rlimit_resource_t)l->resource, &limit);
}

int program_child_prepare(const struct worker_job *job, pid_t parent)
{
	if (setpgid(0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -1;
	if (getppid() != parent) {
		errno = ESRCH;
		return -1;
	}
	for (size_t i = 0; i < job->limit_count; i++)
		if (job->limits[i].resource != RLIMIT_NOFILE && set_limit(&job->limits[i]) < 0)
			return -1;
	return 0;
}

void program_child_execute(const struct worker_job *job, int in, int out, int err_fd,
			   char *const *environment)
{
	/* None of the three is 0, 1 or 2: the master opened those. */
	if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
	    dup2(err_fd, STDERR_FILENO) < 0)
		return;
	for (size_t i = 0; i < job->limit_count; i++)
		if (job->limits[i].resource == RLIMIT_NOFILE && set_limit(&job->limits[i]) < 0)
			return;
	execve(job->program->argv[0], job->program->argv, environment);
}

pid_t program_clone(int (*run)(void *), void *argument, void *stack)
{
	int flags = CLONE_FILES | SIGCHLD;

#ifndef WITH_SANITIZERS
	flags |= CLONE_VM;
#endif
	/* Stacks grow down, but on machines that preforkd was never built for. */
	return clone(run, (char *)stack + PROGRAM_STACK, flags, argument);
}
