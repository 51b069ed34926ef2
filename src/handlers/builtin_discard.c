/* SPDX-License-Identifier: ISC */
/* discard, RFC 863: reads to the end and answers nothing. */
#include <config.h>

#include "handlers/builtin.h"

static int discard_serve(void *state, const struct preforkd_client *client)
{
	char buffer[16384];
	ssize_t n;

	(void)state;
	do {
		n = preforkd_read(client->fd, buffer, sizeof(buffer));
	} while (n > 0);
	return n < 0 ? -1 : PREFORKD_READ_TO_END;
}

static ssize_t discard_answer(void *state, const struct preforkd_datagram *datagram, void *reply,
			      size_t room)
{
	(void)state;
	(void)datagram;
	(void)reply;
	(void)room;
	return 0;
}

const struct preforkd_handler builtin_discard = {
	.abi = PREFORKD_ABI,
	.flags = PREFORKD_REFUSE_LOOPS | PREFORKD_SMALL_REPLIES | PREFORKD_PROMPT_ANSWER,
	.name = "discard",
	.open = builtin_open_plain,
	.serve = discard_serve,
	.answer = discard_answer,
};
