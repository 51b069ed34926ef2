/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sysexits.h>
#include <time.h>

#include "base/hot.h"
#include "worker/lingering.h"
#include "worker/loop.h"
#include "worker/ready.h"
#include "worker/stop.h"

/* From one look to the next at those that have not ended yet. */
#define LOOK_MS 20
/* Clients from one look whether they queue up to the next. */
#define TURNS 8

enum event { EVENT_LINGERING, EVENT_LISTENER };

static struct {
	int epoll;
	int again; /* the listener once more */
	unsigned turns;
	bool queue; /* there was another client each time */
	struct lingering lingering;
} ready = {.epoll = -1, .again = -1, .lingering = {.wake = -1}};

static int open_all(int listener)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.u32 = EVENT_LISTENER};

	ready.again = fcntl(listener, F_DUPFD_CLOEXEC, 3);
	ready.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (ready.again < 0 || ready.epoll < 0)
		return -1;
	return epoll_ctl(ready.epoll, EPOLL_CTL_ADD, listener, &event);
}

int ready_open(int listener, struct error *err)
{
	if (open_all(listener) < 0)
		return error_set(err, EX_OSERR, "preparing to wait for clients: %s",
				 strerror(errno));
	ready.lingering.wake = ready.epoll;
	stop_second(ready.again);
	stop_wake(ready.epoll);
	return 0;
}

/* ---- those that have not ended yet ---- */

static void look(void)
{
	lingering_look(&ready.lingering, loop_now());
}

/* Those before this one have ended by now: it needs a moment. */
void ready_keep(int fd, uint64_t now_usec)
{
	lingering_look(&ready.lingering, now_usec);
	lingering_add(&ready.lingering, fd, now_usec);
}

void ready_keep_refused(int fd, uint64_t now_usec)
{
	lingering_look(&ready.lingering, now_usec);
	lingering_add_refused(&ready.lingering, fd, now_usec);
}

void ready_finish(void)
{
	const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};

	while (ready.lingering.count > 0) {
		look();
		if (ready.lingering.count > 0)
			nanosleep(&pause, NULL);
	}
}

/* ---- clients ---- */

/* Looks after the others until one may be there. */
static void wait_beside(void)
{
	struct epoll_event event;
	int n;

	do {
		n = epoll_wait(ready.epoll, &event, 1, LOOK_MS);
		if (n > 0 && event.data.u32 == EVENT_LISTENER)
			return;
		look();
	} while (ready.lingering.count > 0 && !stop_came());
}

HOT static void wait_for_client(void)
{
	struct epoll_event event;

	if (ready.lingering.count > 0)
		wait_beside();
	else
		(void)epoll_wait(ready.epoll, &event, 1, -1);
}

/* Where clients queue up the wait is for nothing; where they do not, the accept() before it is. */
HOT int ready_accept(int listener, struct sockaddr *peer, socklen_t *len)
{
	int fd = -1;

	if (++ready.turns % TURNS == 0) {
		ready.queue = true;
		if (ready.lingering.count > 0)
			look();
	}
	if (ready.queue)
		fd = accept4(listener, peer, len, SOCK_CLOEXEC);
	if (fd >= 0 || (ready.queue && errno != EAGAIN))
		return fd;
	ready.queue = false;
	wait_for_client();
	fd = accept4(listener, peer, len, SOCK_CLOEXEC);
	/* Another was faster; the next turn waits. */
	if (fd < 0 && errno == EAGAIN)
		errno = EINTR;
	return fd;
}

int ready_accept_last(struct sockaddr *peer, socklen_t *len)
{
	return accept4(ready.again, peer, len, SOCK_CLOEXEC);
}
