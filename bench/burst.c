/* SPDX-License-Identifier: ISC */
/*
 * Many clients at once: each connects, sends a byte, waits for its echo, and then holds its worker
 * for a while. One JSON line says after how many microseconds from the first connect the first, the
 * middle and the last of them had its byte.
 *
 * One thread, and no system call but those of the clients: what this costs is in the figure.
 */
#include <config.h>

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 10000
#define PATIENCE_MS 20000
#define EVENTS      64

static uint64_t now_usec(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (uint64_t)at.tv_sec * 1000000 + (uint64_t)at.tv_nsec / 1000;
}

static int number_read(const char *text, int least, int most)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (end == text || *end != '\0' || value < least || value > most)
		errx(EX_USAGE, "%s: not a number from %d to %d", text, least, most);
	return (int)value;
}

static void watch(int epoll, int operation, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	if (epoll_ctl(epoll, operation, fd, &event) < 0)
		err(EX_OSERR, "epoll_ctl");
}

static void client_come(int epoll, const struct sockaddr_in *to)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		err(EX_OSERR, "socket");
	if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0 && errno != EINPROGRESS)
		err(EX_UNAVAILABLE, "connect");
	watch(epoll, EPOLL_CTL_ADD, fd, EPOLLOUT);
}

/* Returns true when it has its byte. */
static bool client_go_on(int epoll, int fd, uint32_t events)
{
	char byte = '\n'; /* some servers echo lines */

	if (events & EPOLLIN) {
		if (recv(fd, &byte, 1, 0) != 1 || byte != '\n')
			err(EX_PROTOCOL, "the echo");
		epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
		return true;
	}
	if (!(events & EPOLLOUT) || send(fd, &byte, 1, MSG_NOSIGNAL) != 1)
		err(EX_UNAVAILABLE, "send");
	watch(epoll, EPOLL_CTL_MOD, fd, EPOLLIN);
	return false;
}

/* Fills `took`, in the order in which they are served. */
static void clients_serve(int epoll, int count, uint64_t began, uint64_t *took)
{
	struct epoll_event events[EVENTS];
	int served = 0, n;

	while (served < count) {
		n = epoll_wait(epoll, events, EVENTS, PATIENCE_MS);
		if (n <= 0)
			errx(EX_UNAVAILABLE, "%d of %d have no byte", count - served, count);
		for (int i = 0; i < n; i++)
			if (client_go_on(epoll, events[i].data.fd, events[i].events))
				took[served++] = now_usec() - began;
	}
}

int main(int argc, char **argv)
{
	static uint64_t took[CLIENTS_MAX];
	struct sockaddr_in to = {.sin_family = AF_INET};
	int epoll = epoll_create1(EPOLL_CLOEXEC), count, hold;
	uint64_t began;

	if (argc != 4)
		errx(EX_USAGE, "usage: burst PORT CLIENTS HOLD-MS");
	to.sin_port = htons((uint16_t)number_read(argv[1], 1, 65535));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	count = number_read(argv[2], 1, CLIENTS_MAX);
	hold = number_read(argv[3], 0, 60000);
	if (epoll < 0)
		err(EX_OSERR, "epoll_create1");
	began = now_usec();
	for (int i = 0; i < count; i++)
		client_come(epoll, &to);
	clients_serve(epoll, count, began, took);
	printf("{\"clients\": %d, \"first_us\": %llu, \"middle_us\": %llu, \"last_us\": %llu}\n",
	       count, (unsigned long long)took[0], (unsigned long long)took[count / 2],
	       (unsigned long long)took[count - 1]);
	usleep((useconds_t)hold * 1000);
	return 0;
}
