/* SPDX-License-Identifier: ISC */
/*
 * Does what its client says in the first byte, of a connection or a datagram:
 *
 *	l   loops for ever
 *	s   sleeps for ever, again after each signal
 *	t   sleeps until a signal comes, then says EINTR
 *	w   writes for ever, whoever reads
 *	a   with an ALRM of its own, sleeps for ever
 *
 * Anything else is echoed: once, and a connection then to its end.
 */
#include <preforkd/handler.h>
#include <signal.h>
#include <string.h>

static void on_alarm(int number)
{
	(void)number;
}

static int stay(char what, int fd)
{
	static const char block[65536];
	volatile int forever = 1;

	if (what == 'a')
		signal(SIGALRM, on_alarm);
	while (what == 'l' && forever)
		;
	while (what == 's' || what == 'a') /* NOLINT(bugprone-infinite-loop) */
		pause();
	while (what == 'w')
		if (preforkd_write(fd, block, sizeof(block)) < 0)
			return -1;
	if (what != 't')
		return 0;
	pause();
	errno = EINTR;
	return -1;
}

static int serve(void *state, const struct preforkd_client *client)
{
	char buffer[4096];
	ssize_t n;

	(void)state;
	while ((n = preforkd_read(client->fd, buffer, sizeof(buffer))) > 0)
		if (stay(buffer[0], client->fd) < 0 ||
		    preforkd_write(client->fd, buffer, (size_t)n) < 0)
			return -1;
	return n < 0 ? -1 : PREFORKD_READ_TO_END;
}

static ssize_t answer(void *state, const struct preforkd_datagram *datagram, void *reply,
		      size_t room)
{
	size_t size = datagram->size < room ? datagram->size : room;

	(void)state;
	if (size > 0 && stay(*(const char *)datagram->data, -1) < 0)
		return -1;
	memcpy(reply, datagram->data, size);
	return (ssize_t)size;
}

const struct preforkd_handler preforkd_handler = {
	.abi = PREFORKD_ABI,
	.name = "stay",
	.serve = serve,
	.answer = answer,
};
