/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "config/config.h"
#include "master/listener.h"
#include "worker/ready.h"
#include "worker/turns.h"

/* __SO_ACCEPTCON, as /proc/net/unix shows it. */
#define UNIX_LISTENS 0x10000UL

bool listener_is_inet(const struct listener *l)
{
	return l->endpoint.addr.any.sa_family != AF_UNIX;
}

bool listener_has_path(const struct listener *l)
{
	return !listener_is_inet(l) && l->endpoint.addr.un.sun_path[0] != '\0';
}

int listener_failed(const struct listener *l, const char *what, struct error *err)
{
	const char *hint = "";

	if (errno == EACCES && listener_is_inet(l))
		hint = " (ports below 1024 need root or CAP_NET_BIND_SERVICE)";
	return error_set(err, error_code_of(errno), "%s: %s%s%s%s", l->configured, what,
			 *what ? ": " : "", strerror(errno), hint);
}

/* Whether a server still answers at the path: only a socket that refuses is stale. */
static bool path_is_live(const struct listener *l)
{
	int fd = socket(AF_UNIX, l->endpoint.type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool refused;

	if (fd < 0)
		return true;
	refused = connect(fd, &l->endpoint.addr.any, l->endpoint.len) < 0 && errno == ECONNREFUSED;
	fd_close(&fd);
	return !refused;
}

static int remove_stale(struct listener *l, struct error *err)
{
	const char *path = l->endpoint.addr.un.sun_path;
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : listener_failed(l, "", err);
	if (!S_ISSOCK(st.st_mode))
		return error_set(
			err, EX_UNAVAILABLE,
			"%s: the file exists and is no socket; remove it or choose another path",
			l->configured);
	if (path_is_live(l))
		return error_set(err, EX_UNAVAILABLE,
				 "%s: Address already in use (a server answers there)",
				 l->configured);
	if (unlink(path) < 0 && errno != ENOENT)
		return listener_failed(l, "removing the stale socket", err);
	return 0;
}

/* Remembers which file is ours. Returns false when no socket is there. */
static bool own_path(struct listener *l)
{
	struct stat st;

	if (lstat(l->endpoint.addr.un.sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return false;
	l->owns_path = true;
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	return true;
}

static int bind_path(struct listener *l, struct error *err)
{
	mode_t old;
	int status;

	if (remove_stale(l, err) < 0)
		return -1;
	/* Nobody may connect before mode and owner are set. */
	old = umask(0777);
	status = bind(l->fd, &l->endpoint.addr.any, l->endpoint.len);
	umask(old);
	if (status < 0)
		return listener_failed(l, "", err);
	own_path(l);
	return 0;
}

static int bind_socket(struct listener *l, struct error *err)
{
	if (listener_has_path(l))
		return bind_path(l, err);
	if (bind(l->fd, &l->endpoint.addr.any, l->endpoint.len) < 0)
		return listener_failed(l, "", err);
	return 0;
}

static struct listener *listener_new(const struct endpoint *endpoint)
{
	struct listener *l = mem_new(1, sizeof(*l));

	l->users = 1;
	l->ready = -1;
	l->turns = -1;
	l->endpoint = *endpoint;
	endpoint_format(endpoint, l->configured);
	return l;
}

static void learn_address(struct listener *l)
{
	if (endpoint_of_socket(l->fd, &l->bound) < 0)
		l->bound = l->endpoint;
	endpoint_format(&l->bound, l->address);
}

struct listener *listener_bind(const struct endpoint *endpoint,
			       const struct service_config *service, struct error *err)
{
	struct listener *l = listener_new(endpoint);

	l->fd = socket(endpoint->addr.any.sa_family, endpoint->type | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		listener_failed(l, "socket", err);
	if (l->fd < 0 || listener_set_before_bind(l, service, err) < 0 || bind_socket(l, err) < 0) {
		listener_release(l);
		return NULL;
	}
	learn_address(l);
	if (listener_apply(l, service, err) < 0) {
		listener_release(l);
		return NULL;
	}
	return l;
}

struct listener *listener_adopt(const struct endpoint *endpoint, int fd, bool passed,
				const char *stored)
{
	struct listener *l = listener_new(endpoint);

	l->fd = fd;
	l->passed = passed;
	l->listening = true;
	if (stored)
		l->stored = mem_text(stored);
	learn_address(l);
	/* Workers may be forked before the settings are applied, which is at the commit. */
	listener_learn_destination(l);
	return l;
}

/* A line of /proc/net/unix: a listening or datagram socket at the path that is not ours, and so
 * came after it. What was accepted from a listener has its path too. */
static bool is_anothers(const struct listener *l, const char *line, ino_t own)
{
	unsigned long flags, inode;
	int path = 0;

	/* NOLINTNEXTLINE(cert-err34-c): the kernel wrote it */
	if (sscanf(line, "%*s %*s %*s %lx %*s %*s %lu %n", &flags, &inode, &path) != 2 || path == 0)
		return false;
	return strcmp(line + path, l->endpoint.addr.un.sun_path) == 0 && inode != own &&
	       (l->endpoint.type == SOCK_DGRAM || (flags & UNIX_LISTENS));
}

static bool path_is_anothers(const struct listener *l)
{
	FILE *in = fopen("/proc/net/unix", "re");
	char line[4 * sizeof(l->endpoint.addr.un.sun_path)];
	bool found = false;
	struct stat st;

	while (in && fstat(l->fd, &st) == 0 && !found && fgets(line, sizeof(line), in)) {
		line[strcspn(line, "\n")] = '\0';
		found = is_anothers(l, line, st.st_ino);
	}
	if (in)
		fclose(in);
	return found;
}

bool listener_find_path(struct listener *l)
{
	return !listener_has_path(l) || (!path_is_anothers(l) && own_path(l));
}

int listener_listen(struct listener *l, const struct service_config *s, struct error *err)
{
	/* The backlog of a .socket unit is its own. */
	if (!l->passed && l->endpoint.type != SOCK_DGRAM && listen(l->fd, (int)s->backlog) < 0)
		return listener_failed(l, "listen", err);
	l->listening = true;
	return 0;
}

int listener_open_ready(struct listener *l, struct error *err)
{
	struct epoll_event event = {.events = READY_EVENTS};

	if (l->ready >= 0)
		return 0;
	l->ready = epoll_create1(EPOLL_CLOEXEC);
	if (l->ready >= 0 && epoll_ctl(l->ready, EPOLL_CTL_ADD, l->fd, &event) == 0)
		return 0;
	fd_close(&l->ready);
	return listener_failed(l, "epoll", err);
}

int listener_open_turns(struct listener *l, struct error *err)
{
	if (l->turns < 0)
		l->turns = turns_create();
	return l->turns < 0 ? listener_failed(l, "memfd", err) : 0;
}

void listener_set_blocking(const struct listener *l, bool blocking)
{
	int flags = fcntl(l->fd, F_GETFL);
	int wanted = blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK;

	if (flags >= 0 && flags != wanted)
		fcntl(l->fd, F_SETFL, wanted);
}

void listener_remove_path(struct listener *l)
{
	const char *path = l->endpoint.addr.un.sun_path;
	struct stat st;

	if (l->owns_path && lstat(path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
		unlink(path);
	l->owns_path = false;
}

void listener_release(struct listener *l)
{
	if (--l->users > 0)
		return;
	/* What is in the FD store goes on without us. */
	if (!l->stored)
		listener_remove_path(l);
	fd_close(&l->ready);
	fd_close(&l->turns);
	if (!l->passed)
		fd_close(&l->fd);
	free(l->stored);
	free(l);
}
