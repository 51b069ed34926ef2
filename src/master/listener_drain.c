/* SPDX-License-Identifier: ISC */
/* A listener that is given up: its door is closed, who waits inside is still served. */
#include <config.h>

#include <limits.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "master/listener.h"
#include "master/unix_queue.h"

/* An interface that no machine has. */
#define NOWHERE INT_MAX

/* For kernels where a filter takes CAP_NET_ADMIN: no handshake finds a listener of another
 * interface, so that new ones are refused. What is under way goes on. Undoing it would take
 * CAP_NET_RAW. */
static void hide(int fd)
{
	const int nowhere = NOWHERE;

	setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &nowhere, sizeof(nowhere));
}

static bool is_hidden(int fd)
{
	int interface = 0;
	socklen_t len = sizeof(interface);

	return getsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &interface, &len) == 0 &&
	       interface == NOWHERE;
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

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
		hide(fd);
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
	listener_remove_path(l);
	if (listener_is_inet(l) && l->endpoint.type == SOCK_STREAM)
		filter_handshakes(l->fd);
	else if (listener_is_inet(l))
		filter_all(l->fd);
	else if (!listener_has_path(l) && l->endpoint.type != SOCK_DGRAM)
		listen(l->fd, 0); /* an abstract name cannot be unlinked: let them wait outside */
}

/* A path that is unlinked cannot be had back; another socket can be bound there. */
bool listener_can_reopen(const struct listener *l)
{
	return !l->draining || (!listener_has_path(l) && !is_hidden(l->fd));
}

void listener_reopen(struct listener *l)
{
	const int unused = 0;

	if (!l->draining || listener_has_path(l))
		return;
	setsockopt(l->fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused));
	l->draining = false;
}

bool listener_is_empty(const struct listener *l)
{
	struct pollfd p = {.fd = l->fd, .events = POLLIN};

	return poll(&p, 1, 0) <= 0 || !(p.revents & POLLIN);
}

int listener_read_queue(const struct listener *l, int *limit)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (!listener_is_inet(l) && l->endpoint.type != SOCK_DGRAM)
		return unix_queue(l->fd, limit);
	if (l->endpoint.type != SOCK_STREAM ||
	    getsockopt(l->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ||
	    info.tcpi_state != TCP_LISTEN)
		return -1;
	/* What a listening socket shows there. */
	*limit = (int)info.tcpi_sacked;
	return (int)info.tcpi_unacked;
}

int listener_queue(const struct listener *l)
{
	int limit;

	return listener_read_queue(l, &limit);
}

bool listener_port_is_fixed(const struct listener *l)
{
	if (l->endpoint.addr.any.sa_family == AF_INET)
		return l->endpoint.addr.in.sin_port != 0;
	if (l->endpoint.addr.any.sa_family == AF_INET6)
		return l->endpoint.addr.in6.sin6_port != 0;
	return true;
}
