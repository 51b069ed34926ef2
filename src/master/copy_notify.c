/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "master/copy_notify.h"

/* What comes in one go before others have their turn. */
#define MOST_MESSAGES 16
#define MESSAGE_MAX   4096

/*
 * In the abstract name space: a copy of another user, or in a chroot, gets there. So does everybody
 * else, which is why each message comes with who sent it.
 */
static int bind_name(int fd, struct copy *copy)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	uint64_t chance;
	int n;

	if (getrandom(&chance, sizeof(chance), 0) != (ssize_t)sizeof(chance))
		return -1;
	n = snprintf(copy->notify_name, sizeof(copy->notify_name), "@preforkd-%d-%016" PRIx64,
		     (int)getpid(), chance);
	memcpy(address.sun_path + 1, copy->notify_name + 1, (size_t)n - 1);
	return bind(fd, (const struct sockaddr *)&address,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n));
}

int copy_notify_open(struct copy *copy)
{
	const int on = 1;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
	    bind_name(fd, copy) < 0) {
		fd_close(&fd);
		return -1;
	}
	copy->notify = fd;
	return 0;
}

bool copy_notify_says_ready(const char *text)
{
	static const char ready[] = "READY=1";

	for (const char *line = text; *line; line += strspn(line, "\n")) {
		size_t length = strcspn(line, "\n");

		if (length == strlen(ready) && strncmp(line, ready, length) == 0)
			return true;
		line += length;
	}
	return false;
}

/* The copy, or one of its process group: a shell script sends by systemd-notify(1). */
static bool is_from(const struct worker *w, struct msghdr *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		struct ucred who;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS)
			continue;
		memcpy(&who, CMSG_DATA(c), sizeof(who));
		return who.pid > 0 && (who.pid == w->pid || getpgid(who.pid) == w->pid);
	}
	return false;
}

/* Returns false when there is no more. There is no room for descriptors: the kernel closes them,
 * which is what a sender of BARRIER=1 waits for. */
static bool take_message(struct worker *w)
{
	char text[MESSAGE_MAX + 1];
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec part = {.iov_base = text, .iov_len = MESSAGE_MAX};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(w->copy->notify, &message, MSG_CMSG_CLOEXEC);

	if (n < 0)
		return errno == EINTR;
	text[n] = '\0';
	/* The rest of what there is to say is for a manager of services. */
	if (is_from(w, &message) && copy_notify_says_ready(text)) {
		w->copy->said_ready = true;
		master_step_at(w->crew->master, 0);
	}
	return true;
}

static int on_notify(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	(void)source;
	(void)fd;
	(void)events;
	for (int i = 0; i < MOST_MESSAGES && take_message(userdata); i++)
		;
	return 0;
}

int copy_notify_hear(struct worker *w)
{
	struct copy *copy = w->copy;
	int r = sd_event_add_io(w->crew->master->event, &copy->notify_source, copy->notify, EPOLLIN,
				on_notify, w);

	return r < 0 ? r : sd_event_source_set_priority(copy->notify_source, COPY_PRIORITY);
}
