/* SPDX-License-Identifier: ISC */
/* The length of a Unix listener's queue, which no call on the socket tells: sock_diag(7) does. */
#include <config.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef HAVE_LINUX_UNIX_DIAG_H
#include <linux/unix_diag.h>
#endif

#include "master/unix_queue.h"

#ifdef HAVE_LINUX_UNIX_DIAG_H

struct question {
	struct nlmsghdr header;
	struct unix_diag_req request;
};

union answer {
	struct nlmsghdr header;
	char bytes[1024];
};

static int ask(int netlink, ino_t inode)
{
	const struct question question = {
		.header = {.nlmsg_len = sizeof(question),
			   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			   .nlmsg_flags = NLM_F_REQUEST},
		.request = {.sdiag_family = AF_UNIX,
			    .udiag_states = UINT32_MAX,
			    .udiag_ino = (uint32_t)inode,
			    .udiag_show = UDIAG_SHOW_RQLEN,
			    .udiag_cookie = {UINT32_MAX, UINT32_MAX}},
	};

	return send(netlink, &question, sizeof(question), 0) == (ssize_t)sizeof(question) ? 0 : -1;
}

/* The kernel has answered before send() returned. */
static int read_answer(int netlink)
{
	union answer answer;
	ssize_t n = recv(netlink, &answer, sizeof(answer), MSG_DONTWAIT);
	const size_t fixed = NLMSG_ALIGN(sizeof(struct unix_diag_msg));
	struct unix_diag_rqlen length;
	struct rtattr *attribute;
	size_t left;

	if (n < (ssize_t)NLMSG_LENGTH(fixed) || answer.header.nlmsg_type != SOCK_DIAG_BY_FAMILY ||
	    answer.header.nlmsg_len > (size_t)n)
		return -1;
	left = answer.header.nlmsg_len - NLMSG_LENGTH(fixed);
	attribute = (void *)(answer.bytes + NLMSG_LENGTH(fixed));
	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
		if (attribute->rta_type != UNIX_DIAG_RQLEN ||
		    RTA_PAYLOAD(attribute) < sizeof(length))
			continue;
		memcpy(&length, RTA_DATA(attribute), sizeof(length));
		return (int)length.udiag_rqueue;
	}
	return -1;
}

int unix_queue(int fd)
{
	int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	struct stat st;
	int length = -1;

	if (netlink < 0)
		return -1;
	if (fstat(fd, &st) == 0 && ask(netlink, st.st_ino) == 0)
		length = read_answer(netlink);
	close(netlink);
	return length;
}

#else

int unix_queue(int fd)
{
	(void)fd;
	return -1;
}

#endif
