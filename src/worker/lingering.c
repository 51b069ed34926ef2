/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "worker/closing.h"
#include "worker/lingering.h"
#include "worker/loop.h"

/* A client that closes when it is answered has done so by then. One that goes on sending waits so
 * long at most. */
#define FIRST_LOOK_USEC 10000

static char waste[65536];

enum end { NOT_YET, SENDS, ENDED };

static enum end drain(struct lingering_client *c, uint64_t now)
{
	enum end end = NOT_YET;
	ssize_t n;

	while ((n = recv(c->fd, waste, sizeof(waste), MSG_DONTWAIT)) > 0) {
		if ((size_t)n >= c->room)
			return ENDED;
		c->room -= (size_t)n;
		end = SENDS;
	}
	return n == 0 || errno != EAGAIN || now >= c->deadline ? ENDED : end;
}

static void watch(const struct lingering *l, struct lingering_client *c)
{
	struct epoll_event event = {.events = EPOLLIN};

	c->look = c->deadline;
	if (l->wake < 0)
		return;
	c->watched = true;
	epoll_ctl(l->wake, EPOLL_CTL_ADD, c->fd, &event);
}

/* Programs that still run may have a copy of it: it has to be said that it is watched no more. */
static void let_go(const struct lingering *l, const struct lingering_client *c)
{
	if (c->watched)
		epoll_ctl(l->wake, EPOLL_CTL_DEL, c->fd, NULL);
	close(c->fd);
}

static void drop(struct lingering *l, unsigned i)
{
	struct lingering_client *c = &l->clients[i];

	let_go(l, c);
	memmove(c, c + 1, (--l->count - i) * sizeof(*c));
}

void lingering_open(struct lingering *l)
{
	*l = (struct lingering){.wake = epoll_create1(EPOLL_CLOEXEC)};
}

void lingering_close(struct lingering *l)
{
	while (l->count > 0)
		drop(l, 0);
	fd_close(&l->wake);
}

/* Returns true when there is room, perhaps because a refused one has gone. */
static bool make_room(struct lingering *l, uint64_t now)
{
	if (l->count == LINGERING_MOST)
		lingering_look(l, now);
	for (unsigned i = 0; i < l->count && l->count == LINGERING_MOST; i++)
		if (l->clients[i].refused)
			drop(l, i);
	return l->count < LINGERING_MOST;
}

static void add(struct lingering *l, int fd, uint64_t now, bool is_refused)
{
	l->clients[l->count++] = (struct lingering_client){.fd = fd,
							   .refused = is_refused,
							   .look = now + FIRST_LOOK_USEC,
							   .deadline = now + CLOSING_USEC,
							   .room = CLOSING_BYTES};
}

void lingering_add(struct lingering *l, int fd, uint64_t now)
{
	if (!make_room(l, now)) {
		close_gently(l->clients[0].fd);
		drop(l, 0);
	}
	add(l, fd, now, false);
}

void lingering_add_refused(struct lingering *l, int fd, uint64_t now)
{
	if (make_room(l, now)) {
		add(l, fd, now, true);
		return;
	}
	(void)recv(fd, waste, sizeof(waste), MSG_DONTWAIT);
	close(fd);
}

void lingering_look(struct lingering *l, uint64_t now)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < l->count; i++) {
		struct lingering_client *c = &l->clients[i];
		enum end end = drain(c, now);

		if (end == ENDED) {
			let_go(l, c);
			continue;
		}
		if (!c->watched && (end == SENDS || now >= c->look))
			watch(l, c);
		l->clients[kept++] = *c;
	}
	l->count = kept;
}

uint64_t lingering_due(const struct lingering *l)
{
	uint64_t due = UINT64_MAX;

	for (unsigned i = 0; i < l->count; i++)
		if (l->clients[i].look < due)
			due = l->clients[i].look;
	return due;
}
