/* SPDX-License-Identifier: ISC */
/*
 * message: the server of the textbooks. Reads one message, logs it, answers `I got your message`
 * and a newline (which the textbooks leave out, but `nc` and `read` want).
 *
 * On a stream a message is a line, or what came before the end of the input, or 4096 bytes,
 * whichever is first: a person who types a line is answered at once, and so is `printf hello | nc`.
 * What follows the message is not read. A packet or a datagram is a message, whatever it holds.
 */
#include <config.h>

#include <string.h>

#include "base/address.h"
#include "base/log.h"
#include "handlers/builtin.h"

#define MESSAGE_MAX 4096
/* Every byte of a message may become \xNN. */
#define MESSAGE_TEXT_MAX (4 * MESSAGE_MAX + 1)

static const char reply_text[] = "I got your message\n";

/* Returns the size of the message, with its newline if it came, or -1 with errno. */
static ssize_t read_line(int fd, char *buffer)
{
	size_t size = 0;

	while (size < MESSAGE_MAX) {
		ssize_t n = preforkd_read(fd, buffer + size, MESSAGE_MAX - size);
		const char *newline;

		if (n < 0)
			return -1;
		if (n == 0)
			break;
		newline = memchr(buffer + size, '\n', (size_t)n);
		if (newline)
			return newline + 1 - buffer;
		size += (size_t)n;
	}
	return (ssize_t)size;
}

/* An input that ended without a byte is answered, but there is nothing to log: a health check that
 * connects and leaves every second fills no log. */
static void log_message(const struct sockaddr *peer, socklen_t peer_len, const char *data,
			size_t size)
{
	char text[MESSAGE_TEXT_MAX];
	char from[ADDRESS_TEXT_MAX];
	struct log_about about = {0};

	if (size == 0)
		return;
	if (data[size - 1] == '\n')
		size--;
	if (size > 0 && data[size - 1] == '\r')
		size--;
	log_escape(text, sizeof(text), data, size);
	about.source = address_format_peer(peer, peer_len, from);
	log_event(LOG_LEVEL_NOTICE, MESSAGE_client_message, &about, "message from %s: %s", from,
		  text);
}

static int message_serve(void *state, const struct preforkd_client *client)
{
	char buffer[MESSAGE_MAX];
	ssize_t n;

	(void)state;
	if (client->type == SOCK_SEQPACKET)
		n = preforkd_read(client->fd, buffer, sizeof(buffer));
	else
		n = read_line(client->fd, buffer);
	if (n < 0)
		return -1;
	log_message(client->peer, client->peer_len, buffer, (size_t)n);
	return preforkd_write_last(client->fd, reply_text, sizeof(reply_text) - 1);
}

static ssize_t message_answer(void *state, const struct preforkd_datagram *datagram, void *reply,
			      size_t room)
{
	size_t size = datagram->size < MESSAGE_MAX ? datagram->size : MESSAGE_MAX;

	(void)state;
	log_message(datagram->peer, datagram->peer_len, datagram->data, size);
	return builtin_reply(reply, room, reply_text, sizeof(reply_text) - 1);
}

const struct preforkd_handler builtin_message = {
	.abi = PREFORKD_ABI,
	.flags = PREFORKD_REFUSE_LOOPS | PREFORKD_SMALL_REPLIES,
	.name = "message",
	.open = builtin_open_plain,
	.serve = message_serve,
	.answer = message_answer,
};
