/* SPDX-License-Identifier: ISC */
/*
 * chargen, RFC 864: the 95 printing characters in lines of 72, each line starting one character
 * later, until the client goes away; packets of one line each; a datagram of random length, from
 * 1 to 512. (The RFC's 0 would be an empty datagram, which no client can tell from a lost one.)
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>

#include "handlers/builtin.h"

#define CHARS       95
#define LINE_CHARS  72
#define LINE_BYTES  (LINE_CHARS + 2)
#define CYCLE_BYTES (CHARS * LINE_BYTES)
/* A datagram that starts in the last line still finds all its bytes in a row. */
#define PATTERN_LINES (CHARS + BUILTIN_REPLY_MAX / LINE_BYTES)

struct chargen {
	uint64_t random;
	char pattern[PATTERN_LINES * LINE_BYTES];
};

_Static_assert(sizeof(((struct chargen *)0)->pattern) >=
		       (CHARS - 1) * LINE_BYTES + BUILTIN_REPLY_MAX,
	       "a datagram fits behind every start of a line");

static void fill(char *pattern)
{
	for (unsigned line = 0; line < PATTERN_LINES; line++) {
		for (unsigned column = 0; column < LINE_CHARS; column++)
			*pattern++ = (char)(' ' + (line + column) % CHARS);
		*pattern++ = '\r';
		*pattern++ = '\n';
	}
}

static int chargen_open(const struct preforkd_setup *setup, void **state, char *error,
			size_t error_size)
{
	struct chargen *chargen;

	if (builtin_options_check(setup, NULL, 0, error, error_size) < 0)
		return -1;
	chargen = calloc(1, sizeof(*chargen));
	if (!chargen) {
		snprintf(error, error_size, "out of memory");
		return -1;
	}
	fill(chargen->pattern);
	*state = chargen;
	return 0;
}

/* Without its own seed every worker would send the lengths of its siblings. */
static int chargen_enter(void *state)
{
	struct chargen *chargen = state;

	chargen->random = builtin_random_seed();
	return 0;
}

/* The RFC throws away what a client sends; a client that sends and then reads would otherwise wait
 * for us for ever. The end of its input is not the end of ours. */
static void throw_away(int fd)
{
	char buffer[16384];

	(void)!recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
}

static int chargen_serve(void *state, const struct preforkd_client *client)
{
	const struct chargen *chargen = state;
	size_t step = client->type == SOCK_SEQPACKET ? LINE_BYTES : CYCLE_BYTES;
	size_t at = 0;

	while (preforkd_write(client->fd, chargen->pattern + at, step) == 0) {
		at = (at + step) % CYCLE_BYTES;
		if (at == 0)
			throw_away(client->fd);
	}
	/* There is no other end than the client's leaving. */
	return errno == EPIPE || errno == ECONNRESET ? 0 : -1;
}

static ssize_t chargen_answer(void *state, const struct preforkd_datagram *datagram, void *reply,
			      size_t room)
{
	struct chargen *chargen = state;
	size_t size = 1 + builtin_random(&chargen->random) % BUILTIN_REPLY_MAX;
	size_t line = datagram->number % CHARS;

	return builtin_reply(reply, room, chargen->pattern + line * LINE_BYTES, size);
}

static void chargen_close(void *state)
{
	free(state);
}

const struct preforkd_handler builtin_chargen = {
	.abi = PREFORKD_ABI,
	.flags = PREFORKD_REFUSE_LOOPS | PREFORKD_SMALL_REPLIES | PREFORKD_PROMPT_ANSWER,
	.name = "chargen",
	.open = chargen_open,
	.enter = chargen_enter,
	.serve = chargen_serve,
	.answer = chargen_answer,
	.close = chargen_close,
};
