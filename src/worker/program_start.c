/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "board/write.h"
#include "worker/program.h"
#include "worker/program_start.h"
#include "worker/stop.h"

/* On memory that both see, whatever clone() made. */
struct program_errand {
	int in, out, err_fd;
	char *const *environment;
	const char *failed; /* the call that did, and its errno; NULL: none */
	int error;
};

int program_start_open(struct program_start *start, const struct worker_job *job)
{
	*start = (struct program_start){.job = job, .self = getpid()};
	start->errand = mmap(NULL, sizeof(*start->errand), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	start->stack = mmap(NULL, PROGRAM_STACK, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	return start->errand == MAP_FAILED || start->stack == MAP_FAILED ? -1 : 0;
}

static int fail(struct program_errand *errand, const char *call, int errnum)
{
	errand->failed = call;
	errand->error = errnum;
	return 1;
}

/* A handler would act in the worker's memory. */
static void forget_handlers(void)
{
	static const int handled[] = {SIGTERM, SIGURG, SIGCHLD, SIGALRM, SIGVTALRM, SIGIO};
	struct sigaction action = {.sa_handler = SIG_DFL};

	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++)
		sigaction(handled[i], &action, NULL);
}

static int child(void *argument)
{
	const struct program_start *start = argument;
	const struct worker_job *job = start->job;
	struct program_errand *e = start->errand;

	forget_handlers();
	if (program_child_prepare(job, start->self) < 0)
		_exit(fail(e, "preparing the child", errno));
	stop_arm();
	program_child_execute(job, e->in, e->out, e->err_fd, e->environment);
	_exit(fail(e, job->program->argv[0], errno));
}

static pid_t clone_and_wait(struct program_start *start)
{
	int flags = CLONE_VFORK | SIGCHLD;

#ifndef WITH_SANITIZERS
	flags |= CLONE_VM;
#endif
	return clone(child, (char *)start->stack + PROGRAM_STACK, flags, start);
}

static void tell_not_executed(const struct program_errand *e)
{
	static struct log_limit limit;

	if (log_limit_passes(&limit, 1000000))
		log_event(LOG_LEVEL_ERROR, MESSAGE_program_failed, NULL, "%s: %s", e->failed,
			  strerror(e->error));
}

pid_t program_start(struct program_start *start, int in, int out, int err_fd,
		    char *const *environment, pid_t *ended)
{
	struct program_errand *e = start->errand;
	pid_t pid;

	*e = (struct program_errand){
		.in = in, .out = out, .err_fd = err_fd, .environment = environment};
	pid = clone_and_wait(start);
	if (pid < 0 || !e->failed)
		return pid;
	tell_not_executed(e);
	*ended = pid;
	return 0;
}

void program_start_tell_shortage(const struct worker_job *job, const char *call, int errnum,
				 const char *consequence)
{
	static struct log_limit limit;

	slot_count(job->slot, CONN_accept_errors);
	if (log_limit_passes(&limit, 60000000))
		log_event(LOG_LEVEL_WARNING, MESSAGE_descriptors_exhausted, NULL, "%s: %s; %s",
			  call, strerror(errnum), consequence);
}
