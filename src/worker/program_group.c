/* SPDX-License-Identifier: ISC */
/* The worker as the supervisor of one program. It has all signals blocked and reads them from a
 * descriptor, so that no handler runs and no call of it is interrupted. */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "board/write.h"
#include "worker/program.h"

#define NEVER      UINT64_MAX
#define GRACE_USEC UINT64_C(2000000)
#define STEP_USEC  UINT64_C(50000)

/* ---- begin and end ---- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void on_said(void *userdata, const char *line, unsigned suppressed)
{
	const struct supervisor *s = userdata;
	const char *name = base_name(s->job->program->argv[0]);

	if (line)
		log_event(LOG_LEVEL_INFO, MESSAGE_program_said, NULL, "%s[%d]: %s", name,
			  (int)s->pid, line);
	else
		log_event(LOG_LEVEL_WARNING, MESSAGE_program_said, NULL,
			  "%s: %u lines of stderr suppressed, more than %d a second", name,
			  suppressed, PROGRAM_LINES_PER_SECOND);
}

static int open_all(struct supervisor *s)
{
	const struct program *program = s->job->program;
	sigset_t all;

	sigfillset(&all);
	if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
		return -1;
	sigemptyset(&all);
	sigaddset(&all, SIGCHLD);
	sigaddset(&all, SIGTERM);
	sigaddset(&all, SIGALRM);
	sigaddset(&all, SIGVTALRM);
	s->signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signals < 0)
		return -1;
	/* What a program leaves behind becomes ours to wait for, and tells us when it has ended. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return -1;
	if (program->connection_timeout_usec) {
		s->notice = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (s->notice < 0)
			return -1;
	}
	return program->stderr_to_client ? 0 : program_stderr_open(&s->said);
}

int supervisor_open(struct supervisor *s, const struct worker_job *job, struct error *err)
{
	*s = (struct supervisor){.job = job,
				 .slot = job->slot,
				 .said = {.read_fd = -1, .write_fd = -1},
				 .signals = -1,
				 .notice = -1,
				 .more = -1,
				 .pid = -1,
				 .other = -1};
	if (open_all(s) == 0)
		return 0;
	error_set(err, EX_OSERR, "preparing to supervise programs: %s", strerror(errno));
	supervisor_close(s);
	return -1;
}

void supervisor_close(struct supervisor *s)
{
	program_stderr_tell(&s->said, NEVER, on_said, s);
	program_stderr_close(&s->said);
	fd_close(&s->signals);
	fd_close(&s->notice);
}

/* ---- waiting ---- */

static bool has_ended(const struct supervisor *s)
{
	siginfo_t info = {.si_pid = 0};

	if (s->ended)
		return true;
	return waitid(P_PID, (id_t)s->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid == s->pid;
}

/* The children of programs, which became ours when those ended. Returns true when s->pid is among
 * the dead; that one stays. */
static bool reap_orphans(const struct supervisor *s)
{
	siginfo_t info = {.si_pid = 0};

	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
		/* The kernel shows the same one first again: those behind it wait for its end. */
		if (info.si_pid == s->pid)
			return true;
		if (info.si_pid == s->other)
			return s->pid > 0 && has_ended(s);
		waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
		info.si_pid = 0;
	}
	return false;
}

/* Returns true when one of `what` has come. */
static bool take_signals(struct supervisor *s, enum supervised *what)
{
	struct signalfd_siginfo infos[8];
	ssize_t n = read(s->signals, infos, sizeof(infos));
	bool child = false, end = false, leave = false;

	for (size_t i = 0; n > 0 && i < (size_t)n / sizeof(infos[0]); i++) {
		child |= infos[i].ssi_signo == SIGCHLD;
		leave |= infos[i].ssi_signo == SIGTERM;
		end |= infos[i].ssi_signo == SIGALRM || infos[i].ssi_signo == SIGVTALRM;
		s->quit |= infos[i].ssi_signo == SIGVTALRM;
	}
	s->leave |= leave || s->quit;
	if (child)
		child = s->ended = reap_orphans(s);
	*what = child ? SUPERVISED_ENDED : end ? SUPERVISED_END : SUPERVISED_LEAVE;
	return child || end || leave;
}

static int until(uint64_t deadline)
{
	uint64_t now;

	if (deadline == NEVER)
		return -1;
	now = loop_now();
	if (now >= deadline)
		return 0;
	return deadline - now > 3600000000U ? 3600000 : (int)((deadline - now + 999) / 1000);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void supervisor_forget_notice(struct supervisor *s)
{
	uint64_t count;

	if (s->notice >= 0)
		(void)!read(s->notice, &count, sizeof(count));
}

/* As poll(2). Where that cannot be done, the signals are looked at now and then. */
static int wait_for(struct pollfd *fds, nfds_t count, int timeout)
{
	const struct timespec pause = {.tv_nsec = 10000000};
	int n = poll(fds, count, timeout);

	if (n >= 0)
		return n;
	nanosleep(&pause, NULL);
	for (nfds_t i = 0; i < count; i++)
		fds[i].revents = i == 0 ? POLLIN : 0;
	return 1;
}

enum supervised supervisor_wait(struct supervisor *s, uint64_t deadline)
{
	struct pollfd fds[] = {
		{.fd = s->signals, .events = POLLIN},
		{.fd = s->said.read_fd, .events = POLLIN},
		{.fd = s->more, .events = POLLIN},
		{.fd = s->notice, .events = POLLIN},
	};
	/* No more than there are: poll(2) refuses more than the limit of descriptors. */
	const nfds_t watched = s->notice >= 0 ? 4 : 3;
	enum supervised what;
	uint64_t count;

	for (;;) {
		int n = wait_for(fds, watched,
				 until(sooner(deadline, program_stderr_due(&s->said))));

		program_stderr_tell(&s->said, loop_now(), on_said, s);
		if (n > 0 && fds[1].revents)
			program_stderr_read(&s->said, loop_now(), on_said, s);
		if (n > 0 && fds[0].revents && take_signals(s, &what))
			return what;
		if (n > 0 && fds[3].revents && read(s->notice, &count, sizeof(count)) > 0)
			return SUPERVISED_NOTICE;
		if (n > 0 && fds[2].revents)
			return SUPERVISED_MORE;
		/* Looked at each time: a program that never stops talking has one too. */
		if (until(deadline) == 0)
			return SUPERVISED_TIMEOUT;
	}
}

/* ---- the end of a program ---- */

static bool is_gone(pid_t group)
{
	return kill(-group, 0) < 0 && errno == ESRCH;
}

static void reap_group(pid_t group)
{
	siginfo_t info;

	do {
		info.si_pid = 0;
	} while (waitid(P_PGID, (id_t)group, &info, WEXITED | WNOHANG) == 0 && info.si_pid != 0);
}

/* The leader was reaped. Those of the group that were no children became ours then, or do when
 * their parents end; even a dead one holds the group's number. */
static void outlast_group(struct supervisor *s, pid_t group)
{
	uint64_t deadline = loop_now() + (s->quit ? 0 : GRACE_USEC);
	struct pollfd p = {.fd = s->signals, .events = POLLIN};
	enum supervised ignored;
	bool killed = false;

	while (!is_gone(group)) {
		reap_group(group);
		if (is_gone(group))
			return;
		/* Not for long: whoever is reaped by somebody else frees the number unheard. */
		if (poll(&p, 1, until(sooner(deadline, loop_now() + STEP_USEC))) > 0)
			take_signals(s, &ignored);
		if (!s->quit && until(deadline) != 0)
			continue;
		/* Even that takes a moment; one that the kernel holds up is not waited for. */
		if (killed)
			return;
		killed = true;
		kill(-group, SIGKILL);
		deadline = loop_now() + GRACE_USEC;
	}
}

static bool leader_ends_within(struct supervisor *s, uint64_t usec)
{
	uint64_t deadline = loop_now() + usec;
	enum supervised what = SUPERVISED_ENDED;
	int more = s->more;

	s->more = -1; /* it has to wait */
	while (!has_ended(s)) {
		what = supervisor_wait(s, deadline);
		if (what == SUPERVISED_TIMEOUT || s->quit)
			break;
	}
	s->more = more;
	return what != SUPERVISED_TIMEOUT && has_ended(s);
}

/* While the leader is not reaped its number cannot come to mean another process or group. It may
 * have gone into another group. */
static void signal_group(const struct supervisor *s, int signal)
{
	kill(-s->pid, signal);
	kill(s->pid, signal);
}

/* Returns false when it cannot be ended and we have to leave: a set-user-ID program that became
 * another user is not ours to kill. */
static bool end_leader(struct supervisor *s)
{
	if (has_ended(s)) {
		kill(-s->pid, s->quit ? SIGKILL : SIGTERM);
		return true;
	}
	signal_group(s, s->quit ? SIGKILL : SIGTERM);
	if (leader_ends_within(s, s->quit ? 0 : GRACE_USEC))
		return true;
	do {
		signal_group(s, SIGKILL);
		if (leader_ends_within(s, GRACE_USEC))
			return true;
	} while (!s->quit);
	return has_ended(s);
}

void supervisor_end(struct supervisor *s, siginfo_t *info)
{
	*info = (siginfo_t){.si_code = CLD_KILLED, .si_status = SIGKILL};
	if (end_leader(s))
		waitid(P_PID, (id_t)s->pid, info, WEXITED | WNOHANG);
	info->si_pid = s->pid;
	s->pid = -1;
	s->ended = false;
	outlast_group(s, info->si_pid);
	reap_orphans(s);
	s->pid = info->si_pid; /* for what it said */
	if (s->said.read_fd >= 0)
		program_stderr_finish(&s->said, loop_now(), on_said, s);
	s->pid = -1;
}

enum connection_field supervisor_outcome(struct supervisor *s, const siginfo_t *info)
{
	if (info->si_code != CLD_EXITED) {
		slot_count(s->slot, CONN_program_signals);
		return CONN_aborted_error;
	}
	if (info->si_status != 0)
		slot_count(s->slot, CONN_program_failures);
	return CONN_finished;
}
