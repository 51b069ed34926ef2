/* SPDX-License-Identifier: ISC */
/*
 * One buffer each way, filled only when it is empty: it is the most that a slow reader makes us
 * hold. Level-triggered epoll, because a socket is mostly waited for again without a change of what
 * for: only a reader that is behind costs system calls for that.
 *
 * Copying beats splice(2) through a pipe by a tenth and more in what programs write, and loses a
 * sixth in what they read, when both move a mebibyte at once; a pipe of that size is something that
 * a user may have 64 of. Short messages cost the same with everything that wakes up for each.
 */
#include <config.h>

#include <errno.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "worker/loop.h"
#include "worker/relay.h"

/* Only what is moved at once is ever touched. */
#define RELAY_BUFFER (1024 * 1024)
/* More than this is given back after the connection. */
#define RELAY_KEEP (64 * 1024)

enum { CLIENT, PROGRAM, WATCHED }; /* what epoll names an event by */
#define NOT_WATCHED UINT32_MAX

int relay_open(struct relay *r)
{
	*r = (struct relay){.epoll = -1, .fds = {-1, -1}};
	r->buffers = mmap(NULL, (size_t)2 * RELAY_BUFFER, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (r->buffers == MAP_FAILED)
		return -1;
	/* A first byte would cost two mebibytes. */
	madvise(r->buffers, (size_t)2 * RELAY_BUFFER, MADV_NOHUGEPAGE);
	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (r->epoll >= 0)
		return 0;
	munmap(r->buffers, (size_t)2 * RELAY_BUFFER);
	return -1;
}

void relay_close(struct relay *r)
{
	fd_close(&r->epoll);
	munmap(r->buffers, (size_t)2 * RELAY_BUFFER);
}

int relay_watch(struct relay *r, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = WATCHED};

	return epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &event);
}

static void forget(struct relay *r, int side)
{
	if (r->interest[side] != NOT_WATCHED)
		epoll_ctl(r->epoll, EPOLL_CTL_DEL, r->fds[side], NULL);
	r->interest[side] = NOT_WATCHED;
}

/* Returns 0, or -1 with errno: without memory nothing would ever wake us. */
static int watch(struct relay *r, int side, uint32_t interest)
{
	struct epoll_event event = {.events = interest, .data.u32 = (uint32_t)side};
	int op = r->interest[side] == NOT_WATCHED ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

	if (interest == r->interest[side] || (interest == 0 && op == EPOLL_CTL_ADD))
		return 0;
	if (epoll_ctl(r->epoll, op, r->fds[side], &event) < 0)
		return -1;
	r->interest[side] = interest;
	return 0;
}

int relay_begin(struct relay *r, int client, int program)
{
	r->fds[CLIENT] = client;
	r->fds[PROGRAM] = program;
	r->interest[CLIENT] = r->interest[PROGRAM] = NOT_WATCHED;
	r->in = (struct relay_flow){.buffer = r->buffers};
	r->out = (struct relay_flow){.buffer = r->buffers + RELAY_BUFFER};
	return watch(r, CLIENT, EPOLLIN) < 0 || watch(r, PROGRAM, EPOLLIN) < 0 ? -1 : 0;
}

void relay_end(struct relay *r)
{
	forget(r, CLIENT);
	forget(r, PROGRAM);
	if (r->in.bytes + r->in.end > RELAY_KEEP || r->out.bytes + r->out.end > RELAY_KEEP)
		madvise(r->buffers, (size_t)2 * RELAY_BUFFER, MADV_DONTNEED);
}

static bool is_empty(const struct relay_flow *f)
{
	return f->begin == f->end;
}

static void give_up(struct relay_flow *f)
{
	f->begin = f->end = 0;
	f->ended = f->closed = true;
}

/* Returns 0, or -1 with errno; either may have been the end. */
static int fill(struct relay_flow *f, int from)
{
	ssize_t n;

	if (f->ended || !is_empty(f))
		return 0;
	n = recv(from, f->buffer, RELAY_BUFFER, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	f->begin = 0;
	f->end = n > 0 ? (size_t)n : 0;
	f->ended = n <= 0;
	return n < 0 ? -1 : 0;
}

/* Returns 0, or -1 with errno. */
static int drain(struct relay_flow *f, int to)
{
	ssize_t n;

	if (!is_empty(f)) {
		n = send(to, f->buffer + f->begin, f->end - f->begin, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -1;
		f->begin += n > 0 ? (size_t)n : 0;
		f->bytes += n > 0 ? (size_t)n : 0;
	}
	if (f->ended && is_empty(f) && !f->closed) {
		f->closed = true;
		if (f->closing)
			f->closing(f->userdata);
		shutdown(to, SHUT_WR);
	}
	return 0;
}

/* Returns 0, or -1 when the client is gone. */
static int move_in(struct relay *r)
{
	if (fill(&r->in, r->fds[CLIENT]) < 0)
		return -1;
	/* A program that reads no more may still write. */
	if (drain(&r->in, r->fds[PROGRAM]) < 0)
		give_up(&r->in);
	return 0;
}

static int move_out(struct relay *r)
{
	/* An error is that of a program that left input unread, which is an end like any other. */
	(void)!fill(&r->out, r->fds[PROGRAM]);
	return drain(&r->out, r->fds[CLIENT]);
}

/* What to wait for: the room to write what is there, or something to read. */
static int watch_both(struct relay *r)
{
	bool read_in = !r->in.ended && is_empty(&r->in);
	bool read_out = !r->out.ended && is_empty(&r->out);
	uint32_t of_client = (read_in ? EPOLLIN : 0U) | (is_empty(&r->out) ? 0U : EPOLLOUT);
	uint32_t of_program = (read_out ? EPOLLIN : 0U) | (is_empty(&r->in) ? 0U : EPOLLOUT);

	return watch(r, CLIENT, of_client) < 0 || watch(r, PROGRAM, of_program) < 0 ? -1 : 0;
}

/* Returns 0, or -1 when the client is gone. */
static int on_event(struct relay *r, int side, uint32_t events)
{
	uint32_t interest = r->interest[side];
	bool readable = interest & EPOLLIN && events & ~(uint32_t)EPOLLOUT;
	bool writable = interest & EPOLLOUT && events & ~(uint32_t)EPOLLIN;
	bool in = side == CLIENT ? readable : writable;
	bool out = side == CLIENT ? writable : readable;

	/* Nothing is waited for but this, which would come again at once. */
	if (interest == 0)
		forget(r, side);
	if (interest == 0 && side == CLIENT && events & EPOLLERR)
		return -1;
	return (in && move_in(r) < 0) || (out && move_out(r) < 0) ? -1 : 0;
}

static int until(uint64_t deadline)
{
	uint64_t now;

	if (deadline == UINT64_MAX)
		return -1;
	now = loop_now();
	if (now >= deadline)
		return 0;
	return deadline - now > UINT64_C(3600000000) ? 3600000
						     : (int)((deadline - now + 999) / 1000);
}

enum relay_event relay_run(struct relay *r, uint64_t deadline)
{
	struct epoll_event events[4]; /* of two sockets and as many others */
	bool wake = false;

	while (!wake) {
		int n, left;

		if (r->in.closed && r->out.closed)
			return RELAY_CLOSED;
		if (watch_both(r) < 0)
			return RELAY_BROKEN;
		left = until(deadline);
		n = epoll_wait(r->epoll, events, 4, left);
		if (n == 0 && until(deadline) == 0)
			return RELAY_TIMEOUT;
		for (int i = 0; i < n; i++) {
			if (events[i].data.u32 == WATCHED)
				wake = true;
			else if (on_event(r, (int)events[i].data.u32, events[i].events) < 0)
				return RELAY_BROKEN;
		}
		/* Even while bytes move; without a time to wait it is all that is there. */
		if (left == 0 && deadline != 0 && !wake)
			return RELAY_TIMEOUT;
	}
	return RELAY_WAKE;
}

void relay_drain(struct relay *r)
{
	shutdown(r->fds[PROGRAM], SHUT_RD);
	give_up(&r->in);
}
