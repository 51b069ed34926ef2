/* SPDX-License-Identifier: ISC */
/* The settings of a listener: what its service says, on the socket. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "config/config.h"
#include "master/listener.h"

/* An idle worker wakes so often for nothing: no oftener than this. */
#define HANDED_DOWN_LEAST_USEC UINT64_C(10000000)

static int set_int(const struct listener *l, int level, int option, int value, const char *key,
		   struct error *err)
{
	if (setsockopt(l->fd, level, option, &value, sizeof(value)) < 0)
		return listener_failed(l, key, err);
	return 0;
}

static int bind_to_device(struct listener *l, const struct service_config *s, struct error *err)
{
	char now[IFNAMSIZ] = "";
	socklen_t len = sizeof(now) - 1;

	/* Changing it needs a privilege that most who never use it do not have. */
	getsockopt(l->fd, SOL_SOCKET, SO_BINDTODEVICE, now, &len);
	if (strcmp(now, s->bind_device) == 0)
		return 0;
	if (setsockopt(l->fd, SOL_SOCKET, SO_BINDTODEVICE, s->bind_device,
		       (socklen_t)strlen(s->bind_device)) < 0)
		return listener_failed(l, "bind_device", err);
	return 0;
}

/* Where it may be bound and what reaches it; a reload sets it anew. */
static int set_reach(struct listener *l, const struct service_config *s, struct error *err)
{
	if (!listener_is_inet(l))
		return 0;
	if (set_int(l, IPPROTO_IP, IP_FREEBIND, s->free_bind, "free_bind", err) < 0)
		return -1;
	return bind_to_device(l, s, err);
}

int listener_set_before_bind(struct listener *l, const struct service_config *s, struct error *err)
{
	bool v6 = l->endpoint.addr.any.sa_family == AF_INET6;

	/* Not for datagrams: there it would let a second server take the port of the first. */
	if (listener_is_inet(l) && l->endpoint.type == SOCK_STREAM &&
	    set_int(l, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR", err) < 0)
		return -1;
	if (v6 && set_int(l, IPPROTO_IPV6, IPV6_V6ONLY, !l->endpoint.dual, "IPV6_V6ONLY", err) < 0)
		return -1;
	return set_reach(l, s, err);
}

/* Whether the IPv4 address is one of this machine's own, and so no broadcast address. */
static bool is_own_inet(const struct sockaddr_in *in)
{
	struct ifaddrs *list, *i;
	bool own = false;

	if (getifaddrs(&list) < 0)
		return false;
	for (i = list; i && !own; i = i->ifa_next) {
		const struct sockaddr_in *a = (const void *)i->ifa_addr;

		own = a && a->sin_family == AF_INET && a->sin_addr.s_addr == in->sin_addr.s_addr;
	}
	freeifaddrs(list);
	return own;
}

/* A socket that is bound to one unicast address gets no datagram that went elsewhere; its replies
 * can only leave from there. */
static bool is_one_unicast(const struct endpoint *e)
{
	if (e->addr.any.sa_family == AF_INET)
		return is_own_inet(&e->addr.in);
	return !IN6_IS_ADDR_UNSPECIFIED(&e->addr.in6.sin6_addr) &&
	       !IN6_IS_ADDR_MULTICAST(&e->addr.in6.sin6_addr);
}

void listener_learn_destination(struct listener *l)
{
	l->tells_destination =
		listener_is_inet(l) && l->endpoint.type == SOCK_DGRAM && !is_one_unicast(&l->bound);
}

bool listener_tells_destination(const struct listener *l)
{
	return l->tells_destination;
}

bool listener_hands_down_timeout(const struct listener *l, const struct service_config *s)
{
	return !l->passed && listener_is_inet(l) && l->endpoint.type == SOCK_STREAM &&
	       s->idle_timeout >= HANDED_DOWN_LEAST_USEC;
}

static int hand_down_timeout(struct listener *l, const struct service_config *s, struct error *err)
{
	uint64_t usec = listener_hands_down_timeout(l, s) ? s->idle_timeout : 0;
	struct timeval tv = {.tv_sec = (time_t)(usec / 1000000),
			     .tv_usec = (suseconds_t)(usec % 1000000)};

	/* It would stay on the socket of the .socket unit, for whoever gets it next. */
	if (l->passed)
		return 0;
	if (setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) < 0 ||
	    setsockopt(l->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0)
		return listener_failed(l, "idle_timeout", err);
	return 0;
}

/* Accepted sockets inherit these; set once here they cost nothing for each client. */
static int apply_tcp(struct listener *l, const struct service_config *s, struct error *err)
{
	int seconds = (int)((s->defer_accept + 999999) / 1000000);

	if (set_int(l, IPPROTO_TCP, TCP_NODELAY, s->nodelay, "nodelay", err) < 0 ||
	    set_int(l, SOL_SOCKET, SO_KEEPALIVE, s->keepalive, "keepalive", err) < 0 ||
	    set_int(l, IPPROTO_TCP, TCP_DEFER_ACCEPT, seconds, "defer_accept", err) < 0)
		return -1;
	return hand_down_timeout(l, s, err);
}

/* A wildcard's replies leave from where the datagram went, and no socket answers what went to many,
 * not even one that is bound to a broadcast or multicast address. That an IPv4 datagram was a
 * broadcast only IP_PKTINFO tells, also of a dual-stack socket. */
static int apply_udp(struct listener *l, struct error *err)
{
	bool v6 = l->endpoint.addr.any.sa_family == AF_INET6;

	listener_learn_destination(l);
	if (!l->tells_destination)
		return 0;
	if (v6 && set_int(l, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1, "IPV6_RECVPKTINFO", err) < 0)
		return -1;
	if (v6 && !l->endpoint.dual)
		return 0;
	return set_int(l, IPPROTO_IP, IP_PKTINFO, 1, "IP_PKTINFO", err);
}

/* The path's socket, if it is still ours: nobody may lead a chmod elsewhere by a link. */
static int open_own_path(struct listener *l, struct error *err)
{
	int fd = open(l->endpoint.addr.un.sun_path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return listener_failed(l, "", err);
	if (fstat(fd, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
		return fd;
	fd_close(&fd);
	return error_set(err, EX_UNAVAILABLE, "%s: the socket was replaced by something else",
			 l->configured);
}

/* The mode before the owner, and of one that was given away after it is taken back: without
 * CAP_FOWNER it cannot be changed. */
static int set_mode(int fd, mode_t mode)
{
	struct stat st;
	char path[64];

	if (fstat(fd, &st) < 0)
		return -1;
	if ((st.st_mode & 07777) == mode)
		return 0;
	if (st.st_uid != geteuid() && fchownat(fd, "", geteuid(), (gid_t)-1, AT_EMPTY_PATH) < 0)
		return -1;
	/* fchmod() does not take such a descriptor. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return chmod(path, mode);
}

static int apply_path(struct listener *l, const struct service_config *s, struct error *err)
{
	int fd = open_own_path(l, err), status = 0;

	if (fd < 0)
		return -1;
	if (set_mode(fd, s->socket_mode) < 0)
		status = listener_failed(l, "socket_mode", err);
	else if ((s->who.socket_uid != (uid_t)-1 || s->who.socket_gid != (gid_t)-1) &&
		 fchownat(fd, "", s->who.socket_uid, s->who.socket_gid, AT_EMPTY_PATH) < 0)
		status = listener_failed(l, "socket_user, socket_group", err);
	fd_close(&fd);
	return status;
}

int listener_apply(struct listener *l, const struct service_config *s, struct error *err)
{
	/* The path, the device and what it may be bound to are its unit's. */
	if (listener_has_path(l))
		return l->passed ? 0 : apply_path(l, s, err);
	if (!listener_is_inet(l))
		return 0;
	if (!l->passed && set_reach(l, s, err) < 0)
		return -1;
	return l->endpoint.type == SOCK_STREAM ? apply_tcp(l, s, err) : apply_udp(l, err);
}
