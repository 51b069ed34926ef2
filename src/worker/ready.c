/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/hot.h"
#include "worker/lingering.h"
#include "worker/loop.h"
#include "worker/ready.h"
#include "worker/stop.h"

/* From one look to the next at those that have not ended yet. */
#define LOOK_MS 20
/* Clients from one look whether they queue up to the next. */
#define TURNS 8

static struct {
	int listener;
	int epoll;
	int again, epoll_again; /* both once more: a stop puts a dead socket in their places */
	bool prompt;
	unsigned turns;
	bool queue; /* there was another client each time */
	struct lingering lingering;
} ready = {.listener = -1,
	   .epoll = -1,
	   .again = -1,
	   .epoll_again = -1,
	   .queue = true,
	   .lingering = {.wake = -1}};

int ready_open(int listener, int epoll, bool prompt, struct error *err)
{
	ready.prompt = prompt;
	ready.listener = listener;
	ready.epoll = epoll;
	ready.again = fcntl(listener, F_DUPFD_CLOEXEC, 3);
	ready.epoll_again = fcntl(epoll, F_DUPFD_CLOEXEC, 3);
	if (ready.again < 0 || ready.epoll_again < 0)
		return error_set(err, EX_OSERR, "preparing to wait for clients: %s",
				 strerror(errno));
	stop_waiting(epoll);
	return 0;
}

/* Another client may have come with this one. */
HOT static void look_again(void)
{
	struct epoll_event event = {.events = READY_EVENTS};

	epoll_ctl(ready.epoll_again, EPOLL_CTL_MOD, ready.listener, &event);
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

/* By that number it is known there, and a stop has put a dead socket in its place. */
static void pass_on(void)
{
	if (dup3(ready.again, ready.listener, O_CLOEXEC) >= 0)
		look_again();
}

void ready_finish(void)
{
	const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};

	pass_on();
	while (ready.lingering.count > 0) {
		look();
		if (ready.lingering.count > 0)
			nanosleep(&pause, NULL);
	}
}

/* ---- clients ---- */

/* Returns true when it was woken for a client. */
HOT static bool wait_for_client(void)
{
	struct epoll_event event;
	bool beside = ready.lingering.count > 0;
	int n = epoll_wait(ready.epoll, &event, 1, beside ? LOOK_MS : -1);

	if (n == 0)
		look();
	/* A signal: it may have come for a client that it was woken for. */
	if (n < 0)
		ready.queue = true;
	return n > 0;
}

HOT int ready_accept(struct sockaddr *peer, socklen_t *len)
{
	int fd = -1;

	if (++ready.turns % TURNS == 0) {
		ready.queue = true;
		if (ready.lingering.count > 0)
			look();
	}
	if (ready.queue)
		fd = accept4(ready.listener, peer, len, SOCK_CLOEXEC);
	if (fd >= 0 || (ready.queue && errno != EAGAIN))
		return fd;
	ready.queue = false;
	if (!wait_for_client()) {
		errno = EINTR;
		return -1;
	}
	fd = accept4(ready.listener, peer, len, SOCK_CLOEXEC);
	if (fd >= 0 && !ready.prompt) {
		look_again();
	} else if (fd < 0 && errno == EAGAIN) {
		errno = EINTR;
	} else {
		ready.queue = true;
	}
	return fd;
}
