/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "worker/prestart_program.h"

#define PAUSE_FIRST_USEC UINT64_C(100000)
#define PAUSE_LAST_USEC  UINT64_C(30000000)
#define LOG_EVERY_USEC   UINT64_C(60000000)

uint64_t prestart_pause(uint64_t pause, uint64_t lived_usec)
{
	if (pause == 0 || lived_usec >= PAUSE_LAST_USEC)
		return PAUSE_FIRST_USEC;
	return pause * 2 < PAUSE_LAST_USEC ? pause * 2 : PAUSE_LAST_USEC;
}

int prestart_program_open(struct prestart_program *p, struct supervisor *supervisor)
{
	*p = (struct prestart_program){
		.job = supervisor->job, .supervisor = supervisor, .near = -1};
	return program_start_open(&p->start, supervisor->job);
}

static bool has_program(const struct prestart_program *p)
{
	return p->near >= 0;
}

void prestart_program_forget(struct prestart_program *p)
{
	fd_close(&p->near);
	p->supervisor->pid = -1;
}

static int tell_shortage(struct prestart_program *p, const char *call, int errnum)
{
	p->shortage = true;
	program_start_tell_shortage(p->job, call, errnum, "trying again every 100 ms");
	return -1;
}

int prestart_program_start(struct prestart_program *p)
{
	struct supervisor *s = p->supervisor;
	int pair[2], err_fd, errnum;
	siginfo_t info;
	pid_t pid, ended = -1;

	if (socketpair(AF_UNIX, p->job->type | SOCK_CLOEXEC, 0, pair) < 0)
		return tell_shortage(p, "socketpair", errno);
	err_fd = s->said.write_fd >= 0 ? s->said.write_fd : pair[1];
	pid = program_start(&p->start, pair[1], pair[1], err_fd, p->job->program->environment,
			    &ended);
	errnum = errno;
	close(pair[1]);
	p->near = pair[0];
	p->shortage = false;
	p->started_usec = loop_now();
	s->pid = pid > 0 ? pid : ended;
	if (pid > 0)
		return 0;
	if (pid == 0)
		supervisor_end(s, &info);
	prestart_program_forget(p);
	return pid < 0 ? tell_shortage(p, "clone", errnum) : -1;
}

static void describe(char *text, size_t room, const siginfo_t *info)
{
	if (info->si_code == CLD_EXITED)
		snprintf(text, room, "exited with status %d", info->si_status);
	else
		snprintf(text, room, "was killed by SIG%s", sigabbrev_np(info->si_status));
}

static void pause_starts(struct prestart_program *p)
{
	uint64_t now = loop_now();

	p->pause_usec = prestart_pause(p->pause_usec, now - p->started_usec);
	p->next_usec = now + p->pause_usec;
}

void prestart_program_ended(struct prestart_program *p)
{
	static struct log_limit limit;
	pid_t pid = p->supervisor->pid;
	char how[64];
	siginfo_t info;

	supervisor_end(p->supervisor, &info);
	prestart_program_forget(p);
	(void)supervisor_outcome(p->supervisor, &info);
	pause_starts(p);
	describe(how, sizeof(how), &info);
	if (log_limit_passes(&limit, LOG_EVERY_USEC))
		log_warning("%s[%d] %s before a client came; another is started in %llu ms, "
			    "or for the next client",
			    p->job->program->argv[0], (int)pid, how,
			    (unsigned long long)p->pause_usec / 1000);
}

bool prestart_program_is_alive(const struct prestart_program *p)
{
	siginfo_t info = {.si_pid = 0};
	ssize_t n;
	char byte;

	if (!has_program(p))
		return false;
	/* What it said may be all that is left of it. */
	n = recv(p->near, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return true;
	return n > 0 &&
	       waitid(P_PID, (id_t)p->supervisor->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid == 0;
}

void prestart_program_keep(struct prestart_program *p, uint64_t now)
{
	if (has_program(p) || now < p->next_usec)
		return;
	/* A shortage is the caller's to wait for. */
	if (prestart_program_start(p) < 0 && !p->shortage)
		pause_starts(p);
}

uint64_t prestart_program_due(const struct prestart_program *p)
{
	return has_program(p) ? UINT64_MAX : p->next_usec;
}
