/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "master/child.h"
#include "master/master.h"

/* A configuration is files of 1 MiB at most; more is a child gone wild. */
#define CHILD_BYTES_MAX (64 * 1024 * 1024)

struct child {
	struct master *master;
	struct child *next; /* of the master's */
	bool cancelled;     /* nobody listens any more; it only has to be reaped */
	child_done *done;
	pid_t pid;
	int fd;
	char *bytes;
	size_t size;
	bool late;
	sd_event_source *input, *child, *timer;
};

/* ---- the master's list of them ---- */

static void enlist(struct child *c)
{
	c->next = c->master->children;
	c->master->children = c;
}

static void forget(struct child *c)
{
	struct child **at = &c->master->children;

	while (*at && *at != c)
		at = &(*at)->next;
	if (*at)
		*at = c->next;
	free(c);
}

bool child_is_known(const struct master *m, pid_t pid)
{
	for (const struct child *c = m->children; c; c = c->next)
		if (c->pid == pid)
			return true;
	return false;
}

/* ---- at work ---- */

static void stop_listening(struct child *c)
{
	c->input = sd_event_source_disable_unref(c->input);
	c->timer = sd_event_source_disable_unref(c->timer);
	fd_close(&c->fd);
	free(c->bytes);
	c->bytes = NULL;
}

void child_cancel(struct child *c)
{
	if (!c)
		return;
	stop_listening(c);
	if (!c->child) {
		forget(c);
		return;
	}
	c->cancelled = true;
	sd_event_source_send_child_signal(c->child, SIGKILL, NULL, 0);
	/* Its source is the loop's then. */
	sd_event_source_set_floating(c->child, 1);
	sd_event_source_unref(c->child);
}

/* Returns false when there is no more to read for now. */
static bool read_some(struct child *c)
{
	ssize_t n;

	c->bytes = mem_grow(c->bytes, c->size + 65536 + 1, 1);
	n = read(c->fd, c->bytes + c->size, 65536);
	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n > 0 && c->size + (size_t)n < CHILD_BYTES_MAX) {
		c->size += (size_t)n;
		return true;
	}
	/* The end: its exit says whether this is all. */
	sd_event_source_set_enabled(c->input, SD_EVENT_OFF);
	if (n != 0)
		sd_event_source_send_child_signal(c->child, SIGKILL, NULL, 0);
	return false;
}

static int on_input(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	(void)source;
	(void)fd;
	(void)events;
	read_some(userdata);
	return 0;
}

static int on_exit_of_child(sd_event_source *source, const siginfo_t *info, void *userdata)
{
	struct child *c = userdata;
	struct child_result result;
	child_done *done;
	struct master *m;
	char *bytes;

	if (c->cancelled) {
		sd_event_source_set_floating(source, 0);
		forget(c);
		return 0;
	}
	/* All it wrote; not to the end of the pipe, which what it left behind may hold open. */
	while (read_some(c))
		;
	done = c->done;
	m = c->master;
	bytes = c->bytes;
	bytes[c->size] = '\0';
	result = (struct child_result){.bytes = bytes,
				       .size = c->size,
				       .late = c->late,
				       .code = info->si_code,
				       .status = info->si_status};
	c->bytes = NULL;
	sd_event_source_unref(c->child);
	stop_listening(c);
	forget(c);
	done(m, &result);
	free(bytes);
	return 0;
}

static int on_late(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct child *c = userdata;

	(void)source;
	(void)usec;
	c->late = true;
	sd_event_source_send_child_signal(c->child, SIGKILL, NULL, 0);
	return 0;
}

_Noreturn static void run_child(struct master *m, child_run *run, int fd, pid_t master)
{
	sigset_t none;

	/* It dies with the master, and like any process; its output is the pipe alone. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != master)
		_exit(EX_TEMPFAIL);
	/* What a module's open() leaves behind must not hold a listener. */
	log_count_losses(NULL); /* the board is not mapped here */
	fd_close_others((const int[]){fd, log_descriptor()}, 2);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	_exit(run(m, fd));
}

static int watch(struct child *c, uint64_t limit_usec, struct error *err)
{
	sd_event *e = c->master->event;
	int r = sd_event_add_child(e, &c->child, c->pid, WEXITED, on_exit_of_child, c);

	/* Without a watch it could end unseen. */
	if (r < 0) {
		kill(c->pid, SIGKILL);
		while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (r >= 0)
		r = sd_event_add_io(e, &c->input, c->fd, EPOLLIN, on_input, c);
	if (r >= 0)
		r = sd_event_add_time_relative(e, &c->timer, CLOCK_MONOTONIC, limit_usec, 0,
					       on_late, c);
	return r < 0 ? error_set(err, EX_OSERR, "watching a child: %s", strerror(-r)) : 0;
}

struct child *child_start(struct master *m, child_run *run, child_done *done, uint64_t limit_usec,
			  struct error *err)
{
	struct child *c = mem_new(1, sizeof(*c));
	pid_t master = getpid();
	int fds[2];

	*c = (struct child){.master = m, .done = done, .fd = -1};
	enlist(c);
	if (pipe2(fds, O_CLOEXEC) < 0) {
		error_set(err, EX_OSERR, "pipe: %s", strerror(errno));
		child_cancel(c);
		return NULL;
	}
	c->pid = fork();
	if (c->pid == 0)
		run_child(m, run, fds[1], master);
	c->fd = fds[0];
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	fd_close(&fds[1]);
	if (c->pid < 0) {
		error_set(err, EX_OSERR, "fork: %s", strerror(errno));
		child_cancel(c);
		return NULL;
	}
	if (watch(c, limit_usec, err) < 0) {
		child_cancel(c);
		return NULL;
	}
	return c;
}

const char *child_describe(const struct child_result *result, char *text, size_t room)
{
	if (result->code == CLD_EXITED)
		snprintf(text, room, "exited with status %d", result->status);
	else if (sigabbrev_np(result->status))
		snprintf(text, room, "was killed by SIG%s", sigabbrev_np(result->status));
	else
		snprintf(text, room, "was killed by signal %d", result->status);
	return text;
}
