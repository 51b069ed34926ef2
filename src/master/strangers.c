/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "master/child.h"
#include "master/crew.h"
#include "master/strangers.h"
#include "master/transaction.h"

#define LATER_USEC 10000

static struct worker *worker_among(struct crew *const *crews, size_t count, pid_t pid)
{
	for (size_t c = 0; c < count; c++)
		for (size_t w = 0; w < crews[c]->worker_count; w++)
			if (crews[c]->workers[w]->pid == pid)
				return crews[c]->workers[w];
	return NULL;
}

static struct worker *find_worker(const struct master *m, pid_t pid)
{
	const struct transaction *t = m->transaction;
	struct worker *w = worker_among(m->crews, m->crew_count, pid);

	return w || !t ? w : worker_among(t->crews, t->crew_count, pid);
}

/*
 * It died with its worker, by its parent-death signal, which its children do not have. While it is
 * not reaped no other group can have its number. Who made a session of its own has left on purpose.
 */
static void end_group_of(pid_t pid)
{
	if (getpgid(pid) == pid && getsid(pid) != pid)
		kill(-pid, SIGKILL);
}

enum look { LOOK_NONE, LOOK_REAPED, LOOK_LATER };

static enum look look_at_one(const struct master *m)
{
	siginfo_t info = {.si_pid = 0};
	struct worker *w;

	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
		return LOOK_NONE;
	/* The loop is about to be told of those; a stranger may be behind them. */
	w = find_worker(m, info.si_pid);
	if (w)
		worker_rearm(w);
	if (w || child_is_known(m, info.si_pid))
		return LOOK_LATER;
	end_group_of(info.si_pid);
	waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
	return LOOK_REAPED;
}

static int on_later(sd_event_source *source, uint64_t usec, void *userdata);

static void look(struct master *m)
{
	enum look result;

	do {
		result = look_at_one(m);
	} while (result == LOOK_REAPED);
	if (result == LOOK_LATER)
		sd_event_add_time_relative(m->event, NULL, CLOCK_MONOTONIC, LATER_USEC, 0, on_later,
					   m);
}

static int on_later(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)usec;
	/* It was the loop's own: this is the last of it. */
	sd_event_source_set_floating(source, 0);
	look(userdata);
	return 0;
}

static int on_child(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct signalfd_siginfo ignored[16];

	(void)source;
	(void)events;
	(void)!read(fd, ignored, sizeof(ignored));
	look(userdata);
	return 0;
}

int strangers_add(struct master *m)
{
	sd_event_source *source;
	sigset_t set;
	int fd, r;

	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return -errno;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	r = sd_event_add_io(m->event, &source, fd, EPOLLIN, on_child, m);
	if (r < 0) {
		fd_close(&fd);
		return r;
	}
	sd_event_source_set_io_fd_own(source, 1);
	/* Behind those that are known. */
	r = sd_event_source_set_priority(source, SD_EVENT_PRIORITY_IDLE);
	sd_event_source_set_floating(source, 1);
	sd_event_source_unref(source);
	return r;
}

static bool has_children(void)
{
	siginfo_t info;

	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

void strangers_finish(const struct master *m)
{
	const struct timespec pause = {.tv_nsec = 5000000};

	for (int i = 0; i < 40 && has_children(); i++) {
		while (look_at_one(m) == LOOK_REAPED)
			;
		nanosleep(&pause, NULL);
	}
}
