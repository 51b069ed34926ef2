/* SPDX-License-Identifier: ISC */
/* Echoes, and dies of SIGSEGV when what it reads starts with "crash". */
#include <preforkd/handler.h>
#include <signal.h>
#include <string.h>

/* The default action first: a sanitizer's handler would turn the signal into an exit status. */
static void crash(void)
{
	signal(SIGSEGV, SIG_DFL);
	raise(SIGSEGV);
}

static int crash_serve(void *state, const struct preforkd_client *client)
{
	char buffer[4096];
	ssize_t n;

	(void)state;
	while ((n = preforkd_read(client->fd, buffer, sizeof(buffer))) > 0) {
		if (n >= 5 && memcmp(buffer, "crash", 5) == 0)
			crash();
		if (preforkd_write(client->fd, buffer, (size_t)n) < 0)
			return -1;
	}
	return (int)n;
}

static ssize_t crash_answer(void *state, const struct preforkd_datagram *datagram, void *reply,
			    size_t room)
{
	size_t size = datagram->size < room ? datagram->size : room;

	(void)state;
	if (datagram->size >= 5 && memcmp(datagram->data, "crash", 5) == 0)
		crash();
	memcpy(reply, datagram->data, size);
	return (ssize_t)size;
}

const struct preforkd_handler preforkd_handler = {
	.abi = PREFORKD_ABI,
	.name = "crash_serve",
	.serve = crash_serve,
	.answer = crash_answer,
};
