/* SPDX-License-Identifier: ISC */
/*
 * echo, RFC 862: every byte back, until the client has sent its last; a datagram back as it came;
 * a packet of up to 64 KiB back as one packet (an empty one looks like the end of the input).
 */
#include <config.h>

#include <string.h>

#include "base/hot.h"
#include "handlers/builtin.h"

#define ECHO_BUFFER 16384
#define ECHO_PACKET 65536

/* Not on the stack, whose protection touches every page of it for each client. A worker has one
 * client at a time. */
static char buffer[ECHO_PACKET + 1]; /* the last byte shows a packet that is too big */

HOT static int echo_bytes(int fd)
{
	for (;;) {
		ssize_t n = preforkd_read(fd, buffer, ECHO_BUFFER);

		if (n <= 0)
			return n < 0 ? -1 : PREFORKD_READ_TO_END;
		if (preforkd_write(fd, buffer, (size_t)n) < 0)
			return -1;
	}
}

static int echo_packets(int fd)
{
	for (;;) {
		ssize_t n = preforkd_read(fd, buffer, sizeof(buffer));

		if (n <= 0)
			return n < 0 ? -1 : PREFORKD_READ_TO_END;
		if (n > ECHO_PACKET) {
			errno = EMSGSIZE;
			return -1;
		}
		if (preforkd_write(fd, buffer, (size_t)n) < 0)
			return -1;
	}
}

HOT static int echo_serve(void *state, const struct preforkd_client *client)
{
	(void)state;
	return client->type == SOCK_SEQPACKET ? echo_packets(client->fd) : echo_bytes(client->fd);
}

/* As much as came: the 512 bytes of the others would break the protocol, and gain a forger
 * nothing. */
HOT static ssize_t echo_answer(void *state, const struct preforkd_datagram *datagram, void *reply,
			       size_t room)
{
	size_t size = datagram->size < room ? datagram->size : room;

	(void)state;
	if (size > 0)
		memcpy(reply, datagram->data, size);
	return (ssize_t)size;
}

const struct preforkd_handler builtin_echo = {
	.abi = PREFORKD_ABI,
	.flags = PREFORKD_REFUSE_LOOPS | PREFORKD_PROMPT_ANSWER,
	.name = "echo",
	.open = builtin_open_plain,
	.serve = echo_serve,
	.answer = echo_answer,
};
