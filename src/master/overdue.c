/* SPDX-License-Identifier: ISC */
/*
 * Clients that are served for longer than connection_timeout. What the slots say of them is a hint,
 * which any worker can forge: one that still answers, or was not stopped, is never killed for it.
 */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sysexits.h>

#include "base/address.h"
#include "base/log.h"
#include "base/process.h"
#include "master/copy.h"
#include "master/crew.h"
#include "worker/overtime.h"

/* For a handler to notice that its client is gone. */
#define GRACE_USEC UINT64_C(2000000)
/* A worker of programs keeps the time itself: TERM and KILL for the program and for what that has
 * left behind. Later than this it cannot. */
#define PROGRAM_GRACE_USEC UINT64_C(10000000)
/* Not more often: there may be thousands, each with a time of its own. */
#define LOOK_USEC UINT64_C(10000)

/* Who says that its client is not late is asked again after so long. */
#define DENIED_USEC UINT64_C(1000000)
/* Answers that are read in one go. */
#define ANSWERS_MOST 64

/* ---- answers ---- */

static struct worker *find(const struct master *m, pid_t pid)
{
	for (size_t i = 0; i < m->crew_count; i++)
		for (size_t w = 0; w < m->crews[i]->worker_count; w++)
			if (m->crews[i]->workers[w]->pid == pid)
				return m->crews[i]->workers[w];
	return NULL;
}

/* Whose it is the kernel says. Returns 0: nobody's, or -1: there is none. */
static pid_t take_answer(int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	char byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	struct ucred who = {0};
	struct cmsghdr *c;

	if (recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
		return -1;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS)
		memcpy(&who, CMSG_DATA(c), sizeof(who));
	return who.pid;
}

static int on_answer(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	uint64_t now = master_now();
	pid_t pid = 0;

	(void)source;
	(void)events;
	for (int i = 0; i < ANSWERS_MOST && pid >= 0; i++) {
		struct worker *w;

		pid = take_answer(fd);
		w = pid > 0 ? find(userdata, pid) : NULL;
		if (!w)
			continue;
		w->late_usec = 0;
		w->denied_usec = now + DENIED_USEC;
	}
	return 0;
}

static int open_answers(struct master *m)
{
	const struct timeval patience = {.tv_sec = 1};
	const int on = 1;

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, m->answers) < 0)
		return -1;
	setsockopt(m->answers[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	/* A flood of one worker's must not be another one's end, nor hold it up for ever. */
	setsockopt(m->answers[1], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return 0;
}

int crew_open_overdue(struct crew *crew, struct error *err)
{
	struct master *m = crew->master;
	int r;

	if (crew->limits_programs || crew->service->connection_timeout == 0)
		return 0;
	if (m->answers[0] < 0 && open_answers(m) < 0)
		return error_set(err, EX_OSERR, "socketpair: %s", strerror(errno));
	if (m->answers_source)
		return 0;
	r = sd_event_add_io(m->event, &m->answers_source, m->answers[0], EPOLLIN, on_answer, m);
	return r < 0 ? error_set(err, EX_OSERR, "event loop: %s", strerror(-r)) : 0;
}

/* ---- clients ---- */

struct client {
	uint64_t number; /* of the connection in its worker */
	uint64_t begun_usec;
};

/* Returns false when it has none, or gets another one just now. */
static bool client_of(const struct worker *w, struct client *c)
{
	const struct board *board = &w->crew->master->board;

	c->number = board_slot_accepted(board, w->slot);
	c->begun_usec = board_slot_since(board, w->slot);
	return board_slot_state(board, w->slot) == SLOT_BUSY &&
	       board_slot_accepted(board, w->slot) == c->number &&
	       board_slot_since(board, w->slot) == c->begun_usec;
}

static void alarm_worker(const struct worker *w, uint64_t number)
{
	siginfo_t info = {.si_signo = SIGALRM, .si_code = SI_QUEUE};

	/* Which one is meant: it may have the next one by the time it looks. */
	info.si_value.sival_ptr = (void *)(uintptr_t)number;
	sd_event_source_send_child_signal(w->child, SIGALRM, &info, 0);
}

static void tell_end(const struct worker *w, const struct client *c, uint64_t now)
{
	const struct crew *crew = w->crew;
	const struct board *board = &crew->master->board;
	const char *doing = process_doing(w->pid);
	char client[ADDRESS_TEXT_MAX], text[OVERTIME_TEXT_MAX];
	struct sockaddr_storage peer;
	socklen_t len = board_slot_peer(board, w->slot, &peer);
	struct log_about about = crew_about(crew, w);

	about.source = address_format_peer((const struct sockaddr *)&peer, len, client);
	about.timed = true;
	about.duration_usec = now - c->begun_usec;
	about.counted =
		board_slot_late_bytes(board, w->slot, c->number, &about.bytes_in, &about.bytes_out);
	log_event(LOG_LEVEL_WARNING, MESSAGE_connection_timeout, &about,
		  "service \"%s\" [%s]: client %s was ended by connection_timeout: %s; its worker "
		  "%d %s, and is killed",
		  crew->service->name, crew->address, client, overtime_describe(text, &about),
		  (int)w->pid, doing ? doing : "had not let it go");
}

/* Returns when to look at it again. */
static uint64_t attend(struct worker *w, const struct client *c, uint64_t now)
{
	bool itself = w->crew->limits_programs;

	if (now < w->denied_usec)
		return w->denied_usec;
	if (w->late_usec == 0 || w->late_number != c->number) {
		w->late_number = c->number;
		w->late_usec = now + (itself ? PROGRAM_GRACE_USEC : GRACE_USEC);
		if (!itself)
			alarm_worker(w, c->number);
	} else if (now >= w->late_usec && itself && !process_is_stopped(w->pid)) {
		/* Unless it was stopped it has ended its program by now, or is about to. */
		w->late_usec = now + PROGRAM_GRACE_USEC;
	} else if (now >= w->late_usec) {
		tell_end(w, c, now);
		w->late = true;
		worker_end(w, now);
		return POOL_NEVER;
	}
	return w->late_usec;
}

static uint64_t look(struct crew *crew, uint64_t timeout, uint64_t now)
{
	/* Who comes after this look is not overdue before. */
	uint64_t next = now + timeout;

	for (size_t i = 0; i < crew->worker_count; i++) {
		struct worker *w = crew->workers[i];
		struct client c;
		uint64_t due;

		if (w->killed || !client_of(w, &c))
			continue;
		if (c.begun_usec > now)
			c.begun_usec = now;
		due = c.begun_usec + timeout;
		if (now >= due)
			due = attend(w, &c, now);
		next = due < next ? due : next;
	}
	return next;
}

uint64_t crew_attend_clients(struct crew *crew, uint64_t now)
{
	uint64_t timeout = crew->service->connection_timeout, next;

	if (timeout == 0 || crew_is_acceptor(crew) || crew->worker_count == 0)
		return POOL_NEVER;
	if (now < crew->overdue_usec)
		return crew->overdue_usec;
	next = look(crew, timeout, now);
	crew->overdue_usec = next > now + LOOK_USEC ? next : now + LOOK_USEC;
	return crew->overdue_usec;
}
