/* SPDX-License-Identifier: ISC */
/* No worker of it ever becomes ready: enter fails with EACCES. */
#include <preforkd/handler.h>

static int exit_enter(void *state)
{
	(void)state;
	errno = EACCES;
	return -1;
}

static int exit_serve(void *state, const struct preforkd_client *client)
{
	(void)state;
	return preforkd_write(client->fd, "never\n", 6);
}

const struct preforkd_handler preforkd_handler = {
	.abi = PREFORKD_ABI,
	.name = "exit_enter",
	.enter = exit_enter,
	.serve = exit_serve,
};
