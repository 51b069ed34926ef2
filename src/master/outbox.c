/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "master/outbox.h"

/* When the kernel is short of something that has no event: try again. */
#define RETRY_USEC 100000

struct message {
	struct message *next;
	enum outbox_kind kind;
	int fd; /* or -1 */
	char *text;
};

struct outbox {
	sd_event *event;
	sd_event_source *writable, *retry;
	struct sockaddr_un address;
	socklen_t address_size;
	int fd;
	bool unreachable; /* and that was said */
	struct message *first, **end;
};

/* ---- the queue ---- */

static void message_free(struct message *message)
{
	fd_close(&message->fd);
	free(message->text);
	free(message);
}

static void unlink_message(struct outbox *o, struct message **place)
{
	struct message *message = *place;

	*place = message->next;
	if (o->end == &message->next)
		o->end = place;
	message_free(message);
}

/* The newest goes behind what was said before it: taking the old one's place it would be
 * overruled by them. */
static void drop_kind(struct outbox *o, enum outbox_kind kind)
{
	struct message **place = &o->first;

	while (kind != OUTBOX_ORDERED && *place) {
		if ((*place)->kind == kind)
			unlink_message(o, place);
		else
			place = &(*place)->next;
	}
}

void outbox_withdraw(struct outbox *o, const char *text)
{
	struct message **place = &o->first;

	while (*place) {
		if (strcmp((*place)->text, text) == 0)
			unlink_message(o, place);
		else
			place = &(*place)->next;
	}
}

static int append(struct outbox *o, enum outbox_kind kind, const char *text, int fd)
{
	struct message *message;
	int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (fd >= 0 && copy < 0)
		return -errno;
	message = mem_new(1, sizeof(*message));
	*message = (struct message){.kind = kind, .fd = copy, .text = mem_text(text)};
	*o->end = message;
	o->end = &message->next;
	return 0;
}

/* ---- the socket ---- */

static void disconnect(struct outbox *o)
{
	/* Before the close: a worker just forked may still hold the socket, and then epoll would.
	 */
	o->writable = sd_event_source_disable_unref(o->writable);
	fd_close(&o->fd);
}

static int reconnect(struct outbox *o)
{
	int error;

	disconnect(o);
	o->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (o->fd >= 0 &&
	    connect(o->fd, (const struct sockaddr *)&o->address, o->address_size) == 0)
		return 0;
	error = errno;
	fd_close(&o->fd);
	return error;
}

/* Returns 0, or an errno. */
static int send_now(struct outbox *o, const char *text, int fd)
{
	struct iovec data = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};

	if (fd >= 0) {
		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		*CMSG_FIRSTHDR(&message) = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
							    .cmsg_type = SCM_RIGHTS,
							    .cmsg_len = CMSG_LEN(sizeof(int))};
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &fd, sizeof(fd));
	}
	while (sendmsg(o->fd, &message, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return errno;
	return 0;
}

/* Whether the socket, not the message, is what failed. */
static bool receiver_is_gone(int error)
{
	return error == ECONNREFUSED || error == ENOTCONN || error == ECONNRESET ||
	       error == ENOENT || error == EPIPE;
}

/* Whether it may go later. */
static bool is_a_shortage(int error)
{
	return error == EAGAIN || error == ENOBUFS || error == ENOMEM || error == EMFILE ||
	       error == ENFILE || error == ETOOMANYREFS;
}

static int try_send(struct outbox *o, const char *text, int fd)
{
	int error = o->fd >= 0 ? send_now(o, text, fd) : ENOTCONN;

	if (receiver_is_gone(error)) {
		error = reconnect(o);
		if (error == 0)
			error = send_now(o, text, fd);
	}
	return error;
}

/* ---- later ---- */

static void send_waiting(struct outbox *o);

static int on_writable(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	(void)source;
	(void)fd;
	(void)events;
	send_waiting(userdata);
	return 0;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	send_waiting(userdata);
	return 0;
}

static int wait_writable(struct outbox *o)
{
	if (o->writable)
		return sd_event_source_set_enabled(o->writable, SD_EVENT_ON);
	return sd_event_add_io(o->event, &o->writable, o->fd, EPOLLOUT, on_writable, o);
}

static int wait_a_while(struct outbox *o)
{
	int r;

	if (!o->retry)
		return sd_event_add_time_relative(o->event, &o->retry, CLOCK_MONOTONIC, RETRY_USEC,
						  RETRY_USEC / 2, on_retry, o);
	r = sd_event_source_set_time_relative(o->retry, RETRY_USEC);
	return r < 0 ? r : sd_event_source_set_enabled(o->retry, SD_EVENT_ONESHOT);
}

/* A loop that takes no source is not to be told from one that is not there: the next message, or
 * the last flush, tries again. */
static void wait_for(struct outbox *o, int error)
{
	if (!o->event)
		return;
	if (error == EAGAIN && wait_writable(o) >= 0)
		return;
	if (is_a_shortage(error))
		wait_a_while(o);
}

static void complain(struct outbox *o, int error)
{
	if (!o->unreachable)
		log_warning("NOTIFY_SOCKET: %s: the service manager is told nothing",
			    strerror(error));
	o->unreachable = true;
}

/* Returns 0, or the errno because of which the first one still waits. */
static int send_in_order(struct outbox *o)
{
	while (o->first) {
		int error = try_send(o, o->first->text, o->first->fd);
		if (is_a_shortage(error) || o->fd < 0)
			return error;
		/* One that can never go must not hold up those behind it. */
		if (error)
			log_error("NOTIFY_SOCKET: %.40s...: %s", o->first->text, strerror(error));
		else
			o->unreachable = false;
		unlink_message(o, &o->first);
	}
	return 0;
}

static void send_waiting(struct outbox *o)
{
	int error = send_in_order(o);

	if (o->writable && error != EAGAIN)
		sd_event_source_set_enabled(o->writable, SD_EVENT_OFF);
	if (o->fd < 0 && error)
		complain(o, error);
	wait_for(o, error);
}

/* ---- public ---- */

static int set_address(struct outbox *o, const char *text)
{
	size_t length = strlen(text);

	o->address.sun_family = AF_UNIX;
	if ((text[0] != '/' && text[0] != '@') || length < 2)
		return -EAFNOSUPPORT;
	/* A path needs its NUL. */
	if (length + (text[0] == '/') > sizeof(o->address.sun_path))
		return -ENAMETOOLONG;
	memcpy(o->address.sun_path, text, length);
	if (text[0] == '@')
		o->address.sun_path[0] = '\0';
	o->address_size =
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (text[0] == '/'));
	return 0;
}

int outbox_open(struct outbox **outbox, const char *address, sd_event *event)
{
	struct outbox *o = mem_new(1, sizeof(*o));
	int r;

	o->fd = -1;
	o->end = &o->first;
	r = set_address(o, address);
	if (r < 0) {
		free(o);
		return r;
	}
	if (event)
		o->event = sd_event_ref(event);
	/* Now, while the path can be reached; failing, again with the first message. */
	reconnect(o);
	*outbox = o;
	return 0;
}

void outbox_free(struct outbox *o)
{
	if (!o)
		return;
	while (o->first)
		unlink_message(o, &o->first);
	disconnect(o);
	sd_event_source_disable_unref(o->retry);
	sd_event_unref(o->event);
	free(o);
}

int outbox_send(struct outbox *o, enum outbox_kind kind, const char *text, int fd)
{
	int r;

	drop_kind(o, kind);
	/* It goes without a copy of the descriptor where it can. */
	if (!o->first) {
		r = try_send(o, text, fd);
		if (r == 0)
			o->unreachable = false;
		if (!is_a_shortage(r) && o->fd >= 0)
			return -r;
	}
	r = append(o, kind, text, fd);
	if (r == 0)
		send_waiting(o);
	return r;
}

static uint64_t now_usec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

bool outbox_flush(struct outbox *o, uint64_t usec)
{
	uint64_t end = now_usec() + usec, now;
	int error;

	while ((error = send_in_order(o)) && o->fd >= 0 && (now = now_usec()) < end) {
		struct pollfd place = {.fd = error == EAGAIN ? o->fd : -1, .events = POLLOUT};
		int left = (int)((end - now) / 1000) + 1;

		poll(&place, 1, error == EAGAIN || left < 10 ? left : 10);
	}
	return !o->first;
}
