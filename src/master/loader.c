/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "master/load.h"
#include "master/loader.h"
#include "master/master.h"

/* A configuration is files of 1 MiB at most; more is a child gone wild. */
#define LOADER_BYTES_MAX (64 * 1024 * 1024)
#define LOADER_USEC      (UINT64_C(60) * 1000000)

struct loader {
	struct master *master;
	loader_done *done;
	pid_t pid;
	int fd;
	char *bytes;
	size_t size;
	bool late;
	sd_event_source *input, *child, *timer;
};

void loader_cancel(struct loader *l)
{
	if (!l)
		return;
	if (l->child)
		sd_event_source_send_child_signal(l->child, SIGKILL, NULL, 0);
	/* Let it be reaped, though nobody listens any more. */
	if (l->child) {
		sd_event_source_set_floating(l->child, 1);
		sd_event_source_set_userdata(l->child, NULL);
		sd_event_source_unref(l->child);
	}
	sd_event_source_disable_unref(l->input);
	sd_event_source_disable_unref(l->timer);
	fd_close(&l->fd);
	free(l->bytes);
	free(l);
}

/* Returns false when there is no more to read for now. */
static bool read_some(struct loader *l)
{
	ssize_t n;

	l->bytes = mem_grow(l->bytes, l->size + 65536, 1);
	n = read(l->fd, l->bytes + l->size, 65536);
	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n > 0 && l->size + (size_t)n < LOADER_BYTES_MAX) {
		l->size += (size_t)n;
		return true;
	}
	/* The end: its exit says whether this is all. */
	sd_event_source_set_enabled(l->input, SD_EVENT_OFF);
	if (n != 0)
		sd_event_source_send_child_signal(l->child, SIGKILL, NULL, 0);
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
	struct loader *l = userdata;
	static const char late[] = "\xff\xff\xff\xff\xff\xff\xff\xff\x4b"
				   "the load of the configuration took longer than 60 s";
	loader_done *done;
	struct master *m;
	char *bytes;
	size_t size;

	if (!l) {
		/* cancelled: floating, so this is the last of it */
		sd_event_source_set_floating(source, 0);
		return 0;
	}
	/* All it wrote; not to the end of the pipe, which what it left behind may hold open. */
	while (read_some(l))
		;
	done = l->done;
	m = l->master;
	bytes = l->bytes;
	size = info->si_code == CLD_EXITED && info->si_status == 0 ? l->size : 0;
	if (l->late) {
		free(bytes);
		bytes = mem_new(sizeof(late), 1);
		size = sizeof(late) - 1;
		memcpy(bytes, late, size);
	}
	l->bytes = NULL;
	l->child = sd_event_source_disable_unref(l->child);
	loader_cancel(l);
	done(m, bytes ? bytes : "", size);
	free(bytes);
	return 0;
}

static int on_late(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct loader *l = userdata;

	(void)source;
	(void)usec;
	l->late = true;
	sd_event_source_send_child_signal(l->child, SIGKILL, NULL, 0);
	return 0;
}

_Noreturn static void run_child(const struct options *options, int fd, pid_t master)
{
	sigset_t none;
	size_t size;
	char *bytes;

	/* It dies with the master, and like any process; its output is the pipe alone. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != master)
		_exit(EX_TEMPFAIL);
	/* What a module's open() leaves behind must not hold a listener. */
	fd_close_others(&fd, 1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	bytes = load_pack(options, &size);
	_exit(fd_write_all(fd, bytes, size) < 0 ? EX_OSERR : 0);
}

static int watch(struct loader *l, struct error *err)
{
	sd_event *e = l->master->event;
	int r = sd_event_add_child(e, &l->child, l->pid, WEXITED, on_exit_of_child, l);

	if (r < 0) {
		kill(l->pid, SIGKILL);
		return error_set(err, EX_OSERR, "watching the load: %s", strerror(-r));
	}
	r = sd_event_add_io(e, &l->input, l->fd, EPOLLIN, on_input, l);
	if (r >= 0)
		r = sd_event_add_time_relative(e, &l->timer, CLOCK_MONOTONIC, LOADER_USEC, 0,
					       on_late, l);
	if (r < 0)
		return error_set(err, EX_OSERR, "watching the load: %s", strerror(-r));
	return 0;
}

struct loader *loader_start(struct master *m, loader_done *done, struct error *err)
{
	struct loader *l = mem_new(1, sizeof(*l));
	pid_t master = getpid();
	int fds[2];

	*l = (struct loader){.master = m, .done = done, .fd = -1};
	if (pipe2(fds, O_CLOEXEC) < 0) {
		error_set(err, EX_OSERR, "pipe: %s", strerror(errno));
		free(l);
		return NULL;
	}
	l->pid = fork();
	if (l->pid == 0)
		run_child(m->options, fds[1], master);
	l->fd = fds[0];
	fcntl(l->fd, F_SETFL, O_NONBLOCK);
	fd_close(&fds[1]);
	if (l->pid < 0) {
		error_set(err, EX_OSERR, "fork: %s", strerror(errno));
		loader_cancel(l);
		return NULL;
	}
	if (watch(l, err) < 0) {
		loader_cancel(l);
		return NULL;
	}
	return l;
}
