/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#ifdef HAVE_LINUX_UNIX_DIAG_H
#include <linux/unix_diag.h>
#endif

#include "base/socket_diag.h"

/* The kernel sends no more in one piece to those who ask with less room. */
union answer {
	struct nlmsghdr header;
	char bytes[16384];
};

int socket_diag_open(void)
{
	return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
}

#ifdef HAVE_LINUX_UNIX_DIAG_H

struct unix_question {
	struct nlmsghdr header;
	struct unix_diag_req request;
};

static int ask_unix(int diag, uint32_t inode)
{
	const struct unix_question question = {
		.header = {.nlmsg_len = sizeof(question),
			   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			   .nlmsg_flags = NLM_F_REQUEST},
		.request = {.sdiag_family = AF_UNIX,
			    .udiag_states = UINT32_MAX,
			    .udiag_ino = inode,
			    .udiag_show = UDIAG_SHOW_RQLEN,
			    .udiag_cookie = {UINT32_MAX, UINT32_MAX}},
	};

	return send(diag, &question, sizeof(question), 0) == (ssize_t)sizeof(question) ? 0 : -1;
}

int socket_diag_unix(int diag, struct socket_queue *queue)
{
	union answer answer;
	const size_t fixed = NLMSG_ALIGN(sizeof(struct unix_diag_msg));
	struct unix_diag_rqlen length;
	struct rtattr *attribute;
	size_t left;
	ssize_t n;

	if (ask_unix(diag, queue->inode) < 0)
		return -1;
	/* The kernel has answered before send() returned. */
	n = recv(diag, &answer, sizeof(answer), MSG_DONTWAIT);
	if (n < (ssize_t)NLMSG_LENGTH(fixed) || answer.header.nlmsg_type != SOCK_DIAG_BY_FAMILY ||
	    answer.header.nlmsg_len > (size_t)n)
		return -1;
	if (((const struct unix_diag_msg *)NLMSG_DATA(&answer.header))->udiag_state != TCP_LISTEN)
		return -1;
	left = answer.header.nlmsg_len - NLMSG_LENGTH(fixed);
	attribute = (void *)(answer.bytes + NLMSG_LENGTH(fixed));
	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
		if (attribute->rta_type != UNIX_DIAG_RQLEN ||
		    RTA_PAYLOAD(attribute) < sizeof(length))
			continue;
		memcpy(&length, RTA_DATA(attribute), sizeof(length));
		queue->length = length.udiag_rqueue;
		queue->limit = length.udiag_wqueue;
		return 0;
	}
	return -1;
}

#else

int socket_diag_unix(int diag, struct socket_queue *queue)
{
	(void)diag, (void)queue;
	return -1;
}

#endif

struct tcp_question {
	struct nlmsghdr header;
	struct inet_diag_req_v2 request;
};

static int ask_tcp(int diag, int family)
{
	const struct tcp_question question = {
		.header = {.nlmsg_len = sizeof(question),
			   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.request = {.sdiag_family = (uint8_t)family,
			    .sdiag_protocol = IPPROTO_TCP,
			    .idiag_states = 1U << TCP_LISTEN},
	};

	return send(diag, &question, sizeof(question), 0) == (ssize_t)sizeof(question) ? 0 : -1;
}

static void report(struct nlmsghdr *header,
		   void (*found)(void *context, const struct socket_queue *queue), void *context)
{
	const struct inet_diag_msg *message = NLMSG_DATA(header);
	const struct socket_queue queue = {.inode = message->idiag_inode,
					   .length = message->idiag_rqueue,
					   .limit = message->idiag_wqueue};

	found(context, &queue);
}

/* One piece of the answer. Returns 1 when more follow, 0 after the last, or -1. */
static int read_tcp(int diag, void (*found)(void *context, const struct socket_queue *queue),
		    void *context)
{
	union answer answer;
	ssize_t n = recv(diag, &answer, sizeof(answer), MSG_DONTWAIT);
	size_t left = n > 0 ? (size_t)n : 0;
	struct nlmsghdr *header = &answer.header;

	for (; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
		if (header->nlmsg_type == NLMSG_DONE)
			return 0;
		if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
		    header->nlmsg_len < NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
			return -1;
		report(header, found, context);
	}
	return n > 0 ? 1 : -1;
}

int socket_diag_tcp(int diag, int family,
		    void (*found)(void *context, const struct socket_queue *queue), void *context)
{
	int more = ask_tcp(diag, family);

	if (more < 0)
		return -1;
	while ((more = read_tcp(diag, found, context)) > 0)
		;
	return more;
}
