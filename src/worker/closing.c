/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "worker/closing.h"
#include "worker/loop.h"

void close_gently(int fd)
{
	uint64_t end = loop_now() + CLOSING_USEC;
	size_t room = CLOSING_BYTES;
	static char waste[65536];

	if (shutdown(fd, SHUT_WR) < 0)
		return;
	for (;;) {
		uint64_t now = loop_now();
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t n;

		if (now >= end || poll(&p, 1, (int)((end - now + 999) / 1000)) == 0)
			return;
		n = recv(fd, waste, sizeof(waste), MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
			return;
		if (n > 0 && (size_t)n >= room)
			return;
		room -= n > 0 ? (size_t)n : 0;
	}
}
