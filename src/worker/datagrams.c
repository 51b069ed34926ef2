/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/hot.h"
#include "base/address.h"
#include "base/fd.h"
#include "base/log.h"
#include "board/write.h"
#include "worker/admit.h"
#include "worker/guard.h"
#include "worker/loop.h"
#include "worker/overtime.h"
#include "worker/program_datagram.h"
#include "worker/refuse.h"
#include "worker/stop.h"
#include "worker/turns.h"

#define DATAGRAM_MAX 65536

/* One datagram on its way through the worker. */
struct exchange {
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	} source, shown; /* as received, for the reply; unmapped, for people and handlers */
	struct {
		_Alignas(struct cmsghdr) char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) +
						    CMSG_SPACE(sizeof(struct in_pktinfo)) +
						    CMSG_SPACE(sizeof(struct timespec)) +
						    CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec iov;
	struct msghdr msg;
	socklen_t source_len;
	size_t sent;  /* of the reply */
	bool pktinfo; /* the kernel tells where it was sent to, and is told where the reply leaves
			 from */
	bool told;    /* it tells more than that, for the admission */
	struct entrant entrant;
	struct turns turns;
	bool to_many; /* it was sent to a broadcast or multicast address */
};

static char request[DATAGRAM_MAX];
static char reply[DATAGRAM_MAX];

/* The cheaper calls where no address has to come along. MSG_TRUNC: the size is what was sent, even
 * if it did not fit. */
HOT static ssize_t receive(struct exchange *x, int fd)
{
	ssize_t n;

	x->source_len = sizeof(x->source);
	if (!x->pktinfo && !x->told)
		return recvfrom(fd, request, sizeof(request), MSG_TRUNC, &x->source.any,
				&x->source_len);
	x->iov = (struct iovec){.iov_base = request, .iov_len = sizeof(request)};
	x->msg = (struct msghdr){
		.msg_name = &x->source,
		.msg_namelen = x->source_len,
		.msg_iov = &x->iov,
		.msg_iovlen = 1,
		.msg_control = &x->control,
		.msg_controllen = sizeof(x->control),
	};
	n = recvmsg(fd, &x->msg, MSG_TRUNC);
	x->source_len = x->msg.msg_namelen;
	return n;
}

/* A Unix client whose queue is full does not read: nobody waits for it, datagrams may be lost. */
HOT static int reply_flags(const struct exchange *x)
{
	return x->source.any.sa_family == AF_UNIX ? MSG_NOSIGNAL | MSG_DONTWAIT : MSG_NOSIGNAL;
}

HOT static ssize_t reply_to(struct exchange *x, int fd, size_t size)
{
	if (!x->pktinfo)
		return sendto(fd, reply, size, reply_flags(x), &x->source.any, x->source_len);
	x->iov = (struct iovec){.iov_base = reply, .iov_len = size};
	return sendmsg(fd, &x->msg, reply_flags(x));
}

/* Turns the address a datagram came to into the address its reply leaves from. */
static void reply_from_inet(struct exchange *x, struct in_pktinfo *info)
{
	/* spec_dst is the local address that belongs to the destination: for a unicast the same. */
	x->to_many |= info->ipi_addr.s_addr != info->ipi_spec_dst.s_addr;
	info->ipi_ifindex = 0;
}

static void reply_from_inet6(struct exchange *x, struct in6_pktinfo *info)
{
	/* Nothing can leave from a group's address: the kernel has to choose. */
	if (IN6_IS_ADDR_MULTICAST(&info->ipi6_addr)) {
		x->to_many = true;
		info->ipi6_addr = in6addr_any;
		return;
	}
	/* Any but a link-local address may leave by another interface. */
	if (!IN6_IS_ADDR_LINKLOCAL(&info->ipi6_addr))
		info->ipi6_ifindex = 0;
}

/* The control data of the request becomes that of the reply, in place. Through a dual-stack socket
 * an IPv4 datagram comes with both; the kernel sends by the last, which is IP_PKTINFO. */
HOT static void turn_control(struct exchange *x)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&x->msg); c; c = CMSG_NXTHDR(&x->msg, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
			reply_from_inet(x, (struct in_pktinfo *)(void *)CMSG_DATA(c));
		else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
			reply_from_inet6(x, (struct in6_pktinfo *)(void *)CMSG_DATA(c));
	}
}

/* ---- with access rules or limits ---- */

/* CLOCK_REALTIME: it may have been set meanwhile. */
static uint64_t age_of(const struct timespec *at)
{
	struct timespec now;
	int64_t usec;

	clock_gettime(CLOCK_REALTIME, &now);
	usec = (int64_t)(now.tv_sec - at->tv_sec) * 1000000 + (now.tv_nsec - at->tv_nsec) / 1000;
	return usec > 0 ? (uint64_t)usec : 0;
}

static void read_told(struct entrant *e, const struct cmsghdr *c)
{
	struct timespec at;
	struct ucred who;

	if (c->cmsg_type == SCM_TIMESTAMPNS) {
		memcpy(&at, CMSG_DATA(c), sizeof(at));
		e->waited_usec = age_of(&at);
	} else if (c->cmsg_type == SCM_CREDENTIALS) {
		memcpy(&who, CMSG_DATA(c), sizeof(who));
		e->user_known = true;
		e->uid = who.uid;
		e->gid = who.gid;
	}
}

/* What it tells for the admission is none of the reply's: the rest moves up. */
__attribute__((noinline)) static void take_told(struct exchange *x)
{
	struct msghdr *msg = &x->msg;
	size_t kept = 0;
	struct cmsghdr *next;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = next) {
		size_t space = CMSG_ALIGN(c->cmsg_len);

		next = CMSG_NXTHDR(msg, c);
		if (c->cmsg_level == SOL_SOCKET) {
			read_told(&x->entrant, c);
			continue;
		}
		memmove(x->control.bytes + kept, c, space);
		kept += space;
	}
	msg->msg_controllen = kept;
}

/* The options stay on the listener, and cost other pools that get it later next to nothing. */
__attribute__((noinline)) static bool ask_for_more(const struct worker_job *job)
{
	const struct admission *a = job->admission;
	socklen_t size = sizeof(int);
	int on = 1, domain = 0;
	bool told = false;

	if (!a)
		return false;
	getsockopt(job->listener, SOL_SOCKET, SO_DOMAIN, &domain, &size);
	if (a->queue_timeout_usec)
		told |= setsockopt(job->listener, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) == 0;
	if (domain == AF_UNIX)
		told |= setsockopt(job->listener, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) == 0;
	return told;
}

__attribute__((noinline)) static enum connection_field admit_datagram(struct loop *loop,
								      struct exchange *x,
								      socklen_t len)
{
	struct entrant *e = &x->entrant;
	enum connection_field outcome;

	e->fd = -1;
	e->peer = &x->shown.any;
	e->len = len;
	outcome = admit(loop, e);
	if (outcome != CONN_finished)
		refuse_tell(loop, e, outcome);
	return outcome;
}

/* A program may say as much as it likes, but not to another server. */
HOT static uint32_t flags(const struct worker_job *job)
{
	return job->handler ? job->handler->flags : PREFORKD_REFUSE_LOOPS;
}

HOT static size_t reply_room(const struct worker_job *job)
{
	return flags(job) & PREFORKD_SMALL_REPLIES ? GUARD_REPLY_MAX : sizeof(reply);
}

HOT static enum connection_field send_reply(struct exchange *x, int fd, size_t size)
{
	ssize_t n;

	/* A Unix client without an address cannot be answered. */
	if (x->source_len <= sizeof(sa_family_t))
		return CONN_finished;
	do {
		n = reply_to(x, fd, size);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? CONN_timed_out : CONN_aborted_error;
	x->sent = (size_t)n;
	return CONN_finished;
}

HOT static enum connection_field answer(struct loop *loop, struct exchange *x, int fd, size_t size,
					socklen_t shown_len)
{
	const struct worker_job *job = loop->job;
	const struct preforkd_datagram datagram = {
		.data = request,
		.size = size,
		.peer = &x->shown.any,
		.peer_len = shown_len,
		.service = job->service,
		.number = loop->served,
	};
	enum connection_field outcome;
	ssize_t n;

	if (flags(job) & PREFORKD_REFUSE_LOOPS &&
	    (x->to_many || guard_refuses(&x->shown.any, loop->master->udp_ports)))
		return CONN_refused_guard;
	outcome = loop->admission ? admit_datagram(loop, x, shown_len) : CONN_finished;
	if (outcome != CONN_finished)
		return outcome;
	if (size > sizeof(request))
		return CONN_aborted_error; /* cut, through a Unix socket: half is no request */
	n = job->handler ? job->handler->answer(job->state, &datagram, reply, reply_room(job))
			 : program_datagram_answer(&datagram, x->pktinfo ? &x->msg : NULL, reply,
						   reply_room(job));
	if (loop->limited && overtime_came()) {
		overtime_tell_datagram(&datagram);
		return CONN_timed_out;
	}
	if (n < 0)
		return errno == EAGAIN ? CONN_timed_out : CONN_aborted_error;
	return n == 0 ? CONN_finished : send_reply(x, fd, (size_t)n);
}

static void log_datagram(const struct exchange *x, socklen_t len, size_t size,
			 enum connection_field outcome, uint64_t usec)
{
	char peer[ADDRESS_TEXT_MAX];
	const struct log_about about = {
		.source = address_format_peer(&x->shown.any, len, peer),
		.timed = true,
		.counted = true,
		.duration_usec = usec,
		.bytes_in = size,
		.bytes_out = x->sent,
	};

	log_event(LOG_LEVEL_INFO, MESSAGE_datagram, &about, "datagram of %zu bytes from %s: %s",
		  size, peer, connection_fields[outcome].name);
}

HOT static void serve_datagram(struct loop *loop, struct exchange *x, int fd, size_t size)
{
	const struct worker_job *job = loop->job;
	uint64_t begin = loop_now(), end;
	enum connection_field outcome;
	socklen_t len = x->source_len;

	loop->served++;
	if (len > sizeof(x->source))
		len = sizeof(x->source);
	x->shown.any.sa_family = AF_UNSPEC;
	memcpy(&x->shown, &x->source, len);
	if (x->shown.any.sa_family == AF_INET6)
		len = address_unmap(&x->shown.any, len);
	x->to_many = false;
	x->sent = 0;
	if (loop->admission)
		x->entrant = (struct entrant){.now_usec = begin};
	if (x->told)
		take_told(x);
	if (x->pktinfo)
		turn_control(x);
	if (loop->limited)
		overtime_begin(-1, loop->served, begin);
	slot_begin(job->slot, &x->shown.any, len, begin);
	outcome = answer(loop, x, fd, size, len);
	if (loop->limited)
		overtime_end();
	if (loop->admission)
		admit_end(loop, &x->entrant);
	end = loop_now();
	slot_end(job->slot, outcome, end);
	if (loop->log)
		log_datagram(x, len, size, outcome, end - begin);
}

static int open_turns(struct exchange *x, const struct worker_job *job)
{
	if (job->turns < 0 || turns_open(&x->turns, job->turns) == 0)
		return 0;
	log_event(LOG_LEVEL_ERROR, MESSAGE_worker_failed, NULL, "turns: %s", strerror(errno));
	return -1;
}

/* Waits for the next one. */
HOT static ssize_t take(struct exchange *x, struct loop *loop)
{
	ssize_t n;

	if (x->turns.fd >= 0 && x->turns.held < 0 && turns_take(&x->turns) < 0)
		return -1;
	if (!loop->job->program) {
		if (loop->admission)
			admit_wait(loop, loop->listener);
		return receive(x, loop->listener);
	}
	program_datagram_idle(true);
	if (loop->admission)
		admit_wait(loop, loop->listener);
	n = receive(x, loop->listener);
	program_datagram_idle(false);
	return n;
}

HOT int loop_datagrams(struct loop *loop)
{
	struct exchange x = {.pktinfo = loop->job->pktinfo,
			     .told = ask_for_more(loop->job),
			     .turns = {.fd = -1, .held = -1}};
	/* A second descriptor: a stop between the receive and the send must not eat the reply. */
	int reply_fd = dup(loop->job->listener);

	if (reply_fd < 0) {
		log_event(LOG_LEVEL_ERROR, MESSAGE_worker_failed, NULL, "dup: %s", strerror(errno));
		return -1;
	}
	if (open_turns(&x, loop->job) < 0 ||
	    (loop->job->program && program_datagram_open(loop->job) < 0))
		return -1;
	while (!loop_ends(loop)) {
		ssize_t n = take(&x, loop);

		if (n >= 0)
			serve_datagram(loop, &x, reply_fd, (size_t)n);
		else if (loop_failed(loop, "receive", errno) < 0)
			break;
	}
	turns_give(&x.turns);
	fd_close(&reply_fd);
	if (loop->job->program)
		program_datagram_close();
	return loop_ends(loop) || stop_came() ? 0 : -1;
}
