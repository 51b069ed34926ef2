/* SPDX-License-Identifier: ISC */
/*
 * time, RFC 868: the seconds since 1900 as 32 bits, the highest byte first. They start again from
 * 0 in 2036; a client knows the era better than the protocol does.
 */
#include <config.h>

#include <time.h>

#include "handlers/builtin.h"

#define TIME_BYTES           4
#define SECONDS_1900_TO_1970 UINT64_C(2208988800)

static void put_now(unsigned char *bytes)
{
	uint32_t seconds = (uint32_t)((uint64_t)time(NULL) + SECONDS_1900_TO_1970);

	for (int i = 0; i < TIME_BYTES; i++)
		bytes[i] = (unsigned char)(seconds >> (24 - 8 * i));
}

static int time_serve(void *state, const struct preforkd_client *client)
{
	unsigned char bytes[TIME_BYTES];

	(void)state;
	put_now(bytes);
	return preforkd_write_last(client->fd, bytes, sizeof(bytes));
}

static ssize_t time_answer(void *state, const struct preforkd_datagram *datagram, void *reply,
			   size_t room)
{
	unsigned char bytes[TIME_BYTES];

	(void)state;
	(void)datagram;
	put_now(bytes);
	return builtin_reply(reply, room, bytes, sizeof(bytes));
}

const struct preforkd_handler builtin_time = {
	.abi = PREFORKD_ABI,
	.flags = PREFORKD_REFUSE_LOOPS | PREFORKD_SMALL_REPLIES | PREFORKD_PROMPT |
		 PREFORKD_PROMPT_ANSWER,
	.name = "time",
	.open = builtin_open_plain,
	.serve = time_serve,
	.answer = time_answer,
};
