/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "config/config.h"
#include "master/listener.h"

/* An idle worker wakes so often for nothing: no oftener than this. */
#define HANDED_DOWN_LEAST_USEC UINT64_C(10000000)

static bool is_inet(const struct listener *l)
{
	return l->endpoint.addr.any.sa_family != AF_UNIX;
}

static bool has_path(const struct listener *l)
{
	return !is_inet(l) && l->endpoint.addr.un.sun_path[0] != '\0';
}

static int failed(const struct listener *l, const char *what, struct error *err)
{
	const char *hint = "";

	if (errno == EACCES && is_inet(l))
		hint = " (ports below 1024 need root or CAP_NET_BIND_SERVICE)";
	return error_set(err, error_code_of(errno), "%s: %s%s%s%s", l->configured, what,
			 *what ? ": " : "", strerror(errno), hint);
}

static int set_int(const struct listener *l, int level, int option, int value, const char *key,
		   struct error *err)
{
	if (setsockopt(l->fd, level, option, &value, sizeof(value)) < 0)
		return failed(l, key, err);
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
		return failed(l, "bind_device", err);
	return 0;
}

/* Where it may be bound and what reaches it; a reload sets it anew. */
static int set_reach(struct listener *l, const struct service_config *s, struct error *err)
{
	if (!is_inet(l))
		return 0;
	if (set_int(l, IPPROTO_IP, IP_FREEBIND, s->free_bind, "free_bind", err) < 0)
		return -1;
	return bind_to_device(l, s, err);
}

static int set_before_bind(struct listener *l, const struct service_config *s, struct error *err)
{
	bool v6 = l->endpoint.addr.any.sa_family == AF_INET6;

	/* Not for datagrams: there it would let a second server take the port of the first. */
	if (is_inet(l) && l->endpoint.type == SOCK_STREAM &&
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

bool listener_tells_destination(const struct listener *l)
{
	return l->tells_destination;
}

bool listener_hands_down_timeout(const struct listener *l, const struct service_config *s)
{
	return is_inet(l) && l->endpoint.type == SOCK_STREAM &&
	       s->idle_timeout >= HANDED_DOWN_LEAST_USEC;
}

static int hand_down_timeout(struct listener *l, const struct service_config *s, struct error *err)
{
	uint64_t usec = listener_hands_down_timeout(l, s) ? s->idle_timeout : 0;
	struct timeval tv = {.tv_sec = (time_t)(usec / 1000000),
			     .tv_usec = (suseconds_t)(usec % 1000000)};

	if (setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) < 0 ||
	    setsockopt(l->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0)
		return failed(l, "idle_timeout", err);
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

	l->tells_destination = !is_one_unicast(&l->bound);
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
		return failed(l, "", err);
	if (fstat(fd, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
		return fd;
	fd_close(&fd);
	return error_set(err, EX_UNAVAILABLE, "%s: the socket was replaced by something else",
			 l->configured);
}

/* The mode first: without CAP_FOWNER a socket that was given away cannot be changed. */
static int apply_path(struct listener *l, const struct service_config *s, struct error *err)
{
	char path[64];
	int fd = open_own_path(l, err), status = 0;

	if (fd < 0)
		return -1;
	/* fchmod() does not take such a descriptor. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (chmod(path, s->socket_mode) < 0)
		status = failed(l, "socket_mode", err);
	else if ((s->who.socket_uid != (uid_t)-1 || s->who.socket_gid != (gid_t)-1) &&
		 fchownat(fd, "", s->who.socket_uid, s->who.socket_gid, AT_EMPTY_PATH) < 0)
		status = failed(l, "socket_user, socket_group", err);
	fd_close(&fd);
	return status;
}

int listener_apply(struct listener *l, const struct service_config *s, struct error *err)
{
	if (has_path(l))
		return apply_path(l, s, err);
	if (!is_inet(l))
		return 0;
	if (set_reach(l, s, err) < 0)
		return -1;
	return l->endpoint.type == SOCK_STREAM ? apply_tcp(l, s, err) : apply_udp(l, err);
}

/* Whether a server still answers at the path: only a socket that refuses is stale. */
static bool path_is_live(const struct listener *l)
{
	int fd = socket(AF_UNIX, l->endpoint.type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool refused;

	if (fd < 0)
		return true;
	refused = connect(fd, &l->endpoint.addr.any, l->endpoint.len) < 0 && errno == ECONNREFUSED;
	fd_close(&fd);
	return !refused;
}

static int remove_stale(struct listener *l, struct error *err)
{
	const char *path = l->endpoint.addr.un.sun_path;
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : failed(l, "", err);
	if (!S_ISSOCK(st.st_mode))
		return error_set(
			err, EX_UNAVAILABLE,
			"%s: the file exists and is no socket; remove it or choose another path",
			l->configured);
	if (path_is_live(l))
		return error_set(err, EX_UNAVAILABLE,
				 "%s: Address already in use (a server answers there)",
				 l->configured);
	if (unlink(path) < 0 && errno != ENOENT)
		return failed(l, "removing the stale socket", err);
	return 0;
}

static int bind_path(struct listener *l, struct error *err)
{
	struct stat st;
	mode_t old;
	int status;

	if (remove_stale(l, err) < 0)
		return -1;
	/* Nobody may connect before mode and owner are set. */
	old = umask(0777);
	status = bind(l->fd, &l->endpoint.addr.any, l->endpoint.len);
	umask(old);
	if (status < 0)
		return failed(l, "", err);
	if (lstat(l->endpoint.addr.un.sun_path, &st) == 0) {
		l->owns_path = true;
		l->dev = st.st_dev;
		l->ino = st.st_ino;
	}
	return 0;
}

static int bind_socket(struct listener *l, struct error *err)
{
	if (has_path(l))
		return bind_path(l, err);
	if (bind(l->fd, &l->endpoint.addr.any, l->endpoint.len) < 0)
		return failed(l, "", err);
	return 0;
}

struct listener *listener_bind(const struct endpoint *endpoint,
			       const struct service_config *service, struct error *err)
{
	struct listener *l = mem_new(1, sizeof(*l));

	l->users = 1;
	l->endpoint = *endpoint;
	endpoint_format(endpoint, l->configured);
	l->fd = socket(endpoint->addr.any.sa_family, endpoint->type | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		failed(l, "socket", err);
	if (l->fd < 0 || set_before_bind(l, service, err) < 0 || bind_socket(l, err) < 0) {
		listener_release(l);
		return NULL;
	}
	if (endpoint_of_socket(l->fd, &l->bound) < 0)
		l->bound = *endpoint;
	endpoint_format(&l->bound, l->address);
	if (listener_apply(l, service, err) < 0) {
		listener_release(l);
		return NULL;
	}
	return l;
}

int listener_listen(struct listener *l, const struct service_config *s, struct error *err)
{
	if (l->endpoint.type != SOCK_DGRAM && listen(l->fd, (int)s->backlog) < 0)
		return failed(l, "listen", err);
	l->listening = true;
	return 0;
}

static void remove_path(struct listener *l)
{
	const char *path = l->endpoint.addr.un.sun_path;
	struct stat st;

	if (l->owns_path && lstat(path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
		unlink(path);
	l->owns_path = false;
}

void listener_release(struct listener *l)
{
	if (--l->users > 0)
		return;
	remove_path(l);
	fd_close(&l->fd);
	free(l);
}

/* Drops segments that ask for a new connection (SYN without ACK) and lets the rest pass, so that
 * handshakes under way and open connections go on. A TCP socket's filter sees the packet from the
 * TCP header on. */
static void filter_handshakes(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

static void filter_all(int fd)
{
	struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
	struct sock_fprog program = {.len = 1, .filter = code};

	setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

void listener_refuse_new(struct listener *l)
{
	if (l->draining)
		return;
	l->draining = true;
	remove_path(l);
	if (is_inet(l) && l->endpoint.type == SOCK_STREAM)
		filter_handshakes(l->fd);
	else if (is_inet(l))
		filter_all(l->fd);
	else if (!has_path(l) && l->endpoint.type != SOCK_DGRAM)
		listen(l->fd, 0); /* an abstract name cannot be unlinked: let them wait outside */
}

/* A path that is unlinked cannot be had back; another socket can be bound there. */
bool listener_can_reopen(const struct listener *l)
{
	return !l->draining || is_inet(l);
}

void listener_reopen(struct listener *l)
{
	const int unused = 0;

	if (!l->draining || !is_inet(l))
		return;
	setsockopt(l->fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused));
	l->draining = false;
}

bool listener_is_empty(const struct listener *l)
{
	struct pollfd p = {.fd = l->fd, .events = POLLIN};

	return poll(&p, 1, 0) <= 0 || !(p.revents & POLLIN);
}

int listener_queue(const struct listener *l)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (!is_inet(l) || l->endpoint.type != SOCK_STREAM ||
	    getsockopt(l->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return -1;
	return (int)info.tcpi_unacked;
}

bool listener_port_is_fixed(const struct listener *l)
{
	if (l->endpoint.addr.any.sa_family == AF_INET)
		return l->endpoint.addr.in.sin_port != 0;
	if (l->endpoint.addr.any.sa_family == AF_INET6)
		return l->endpoint.addr.in6.sin6_port != 0;
	return true;
}
