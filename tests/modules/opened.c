/* SPDX-License-Identifier: ISC */
/* Says in the log which process calls open, enter, leave and close, and tells its client which one
 * opened what it serves from. */
#include <preforkd/handler.h>
#include <stdio.h>
#include <stdlib.h>

struct opened {
	pid_t opener;
};

static void say(const char *what)
{
	fprintf(stderr, "opened: %s in %d\n", what, (int)getpid());
}

static int opened_open(const struct preforkd_setup *setup, void **state, char *error,
		       size_t error_size)
{
	struct opened *opened = malloc(sizeof(*opened));

	(void)setup;
	if (!opened) {
		snprintf(error, error_size, "out of memory");
		return -1;
	}
	opened->opener = getpid();
	*state = opened;
	say("open");
	return 0;
}

static int opened_enter(void *state)
{
	(void)state;
	say("enter");
	return 0;
}

static int opened_serve(void *state, const struct preforkd_client *client)
{
	const struct opened *opened = state;
	char line[64];
	int size = snprintf(line, sizeof(line), "opened by %d, served by %d\n", (int)opened->opener,
			    (int)getpid());

	return preforkd_write(client->fd, line, (size_t)size);
}

static void opened_leave(void *state)
{
	(void)state;
	say("leave");
}

static void opened_close(void *state)
{
	say("close");
	free(state);
}

const struct preforkd_handler preforkd_handler = {
	.abi = PREFORKD_ABI,
	.name = "opened",
	.open = opened_open,
	.enter = opened_enter,
	.serve = opened_serve,
	.leave = opened_leave,
	.close = opened_close,
};
