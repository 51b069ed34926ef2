/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <linux/tcp.h> /* libc's tcp_info is too short */
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

#include "worker/traffic.h"

/* Of enum tcp_state, which only <netinet/tcp.h> has. */
#define STATE_CLOSE      7
#define STATE_CLOSE_WAIT 8
#define STATE_LAST_ACK   9
#define STATE_CLOSING    11

/* Whether the client's FIN came, which the kernel counts as a byte. A connection that is closed on
 * both sides and one that was reset look alike; the handler's result tells. */
static bool ended(const struct tcp_info *info, bool finished)
{
	switch (info->tcpi_state) {
	case STATE_CLOSE_WAIT:
	case STATE_LAST_ACK:
	case STATE_CLOSING:
		return true;
	case STATE_CLOSE:
		return finished;
	default:
		return false;
	}
}

void traffic_measure(int fd, bool finished, struct log_about *about)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);

	*about = (struct log_about){0};
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0 ||
	    size < offsetof(struct tcp_info, tcpi_bytes_retrans) + sizeof(info.tcpi_bytes_retrans))
		return;
	about->counted = true;
	about->bytes_in = info.tcpi_bytes_received;
	about->bytes_in -= about->bytes_in > 0 && ended(&info, finished);
	about->bytes_out = info.tcpi_bytes_sent - info.tcpi_bytes_retrans;
}
