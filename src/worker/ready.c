/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
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
#include "worker/turns.h"

/* From one look to the next at those that have not ended yet. */
#define LOOK_MS 20
/* In a worker that waits in accept(). */
#define LOOK_SIGNAL SIGURG
/* Clients from one look whether they queue up to the next. */
#define CLIENTS 8

static struct {
	int listener;
	int epoll;
	int again, epoll_again; /* both once more: a stop puts a dead socket in their places */
	unsigned clients;
	bool queue; /* there was another client each time */
	struct turns turns;
	timer_t timer;
	bool ticks;
	volatile sig_atomic_t ticked;
	struct lingering lingering;
} ready = {.listener = -1,
	   .epoll = -1,
	   .again = -1,
	   .epoll_again = -1,
	   .queue = true,
	   .turns = {.fd = -1, .held = -1},
	   .lingering = {.wake = -1}};

static int failed(struct error *err)
{
	return error_set(err, EX_OSERR, "preparing to wait for clients: %s", strerror(errno));
}

int ready_open(int listener, int epoll, struct error *err)
{
	ready.listener = listener;
	ready.epoll = epoll;
	ready.again = fcntl(listener, F_DUPFD_CLOEXEC, 3);
	ready.epoll_again = fcntl(epoll, F_DUPFD_CLOEXEC, 3);
	if (ready.again < 0 || ready.epoll_again < 0)
		return failed(err);
	stop_waiting(epoll);
	return 0;
}

static void on_tick(int signal)
{
	(void)signal;
	ready.ticked = 1;
}

int ready_open_in_turn(int listener, int turns, struct error *err)
{
	/* Without RESTART: whoever waits is to look at those that have not ended yet. */
	struct sigaction action = {.sa_handler = on_tick};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = LOOK_SIGNAL};

	ready.listener = listener;
	if (turns_open(&ready.turns, turns) < 0 || sigaction(LOOK_SIGNAL, &action, NULL) < 0 ||
	    timer_create(CLOCK_MONOTONIC, &event, &ready.timer) < 0)
		return failed(err);
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

static bool takes_turns(void)
{
	return ready.turns.fd >= 0;
}

/* A tick between the last look and accept() is not lost for long: there is another. */
static void set_ticking(bool on)
{
	struct itimerspec every = {.it_interval = {.tv_nsec = on ? LOOK_MS * 1000000L : 0}};

	every.it_value = every.it_interval;
	timer_settime(ready.timer, 0, &every, NULL);
	ready.ticks = on;
}

/* Most have ended when there is no more room. */
static void make_room(uint64_t now_usec)
{
	if (ready.lingering.count < LINGERING_MOST)
		return;
	lingering_look(&ready.lingering, now_usec);
	/* It is another's turn while we wait for the oldest. */
	if (takes_turns() && ready.lingering.count == LINGERING_MOST)
		turns_give(&ready.turns);
}

void ready_keep(int fd, uint64_t now_usec)
{
	make_room(now_usec);
	lingering_add(&ready.lingering, fd, now_usec);
	if (takes_turns() && !ready.ticks)
		set_ticking(true);
}

void ready_keep_refused(int fd, uint64_t now_usec)
{
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

	if (takes_turns()) {
		turns_give(&ready.turns);
		/* What the handler does at its end is not to be interrupted. */
		set_ticking(false);
	} else {
		pass_on();
	}
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

/* accept() has failed. What has ended meanwhile may be what it is short of; and another may have
 * what this worker has not. */
__attribute__((noinline)) static int fail_accept(void)
{
	int errnum = errno;

	if (errnum != EAGAIN && errnum != EINTR && errnum != ECONNABORTED) {
		turns_give(&ready.turns);
		if (ready.lingering.count > 0)
			look();
	}
	errno = errnum;
	return -1;
}

HOT static int accept_in_turn(struct sockaddr *peer, socklen_t *len)
{
	int fd;

	if (ready.ticked) {
		ready.ticked = 0;
		look();
		if (ready.lingering.count == 0)
			set_ticking(false);
	}
	if (ready.turns.held < 0 && turns_take(&ready.turns) < 0)
		return -1;
	fd = accept4(ready.listener, peer, len, SOCK_CLOEXEC);
	return fd < 0 ? fail_accept() : fd;
}

HOT static int accept_when_woken(struct sockaddr *peer, socklen_t *len)
{
	int fd = -1;

	if (++ready.clients % CLIENTS == 0) {
		ready.queue = true;
		if (ready.lingering.count > 0)
			look();
	}
	if (ready.queue)
		fd = accept4(ready.listener, peer, len, SOCK_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (ready.queue && errno != EAGAIN)
		return fail_accept();
	ready.queue = false;
	if (!wait_for_client()) {
		errno = EINTR;
		return -1;
	}
	fd = accept4(ready.listener, peer, len, SOCK_CLOEXEC);
	if (fd >= 0) {
		look_again();
	} else if (fd < 0 && errno == EAGAIN) {
		errno = EINTR;
	} else {
		ready.queue = true;
	}
	return fd;
}

HOT int ready_accept(struct sockaddr *peer, socklen_t *len)
{
	return takes_turns() ? accept_in_turn(peer, len) : accept_when_woken(peer, len);
}
