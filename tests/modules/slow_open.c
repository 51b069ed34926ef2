/* SPDX-License-Identifier: ISC */
/* Its open sleeps for the option `seconds` (1), through signals. */
#include <preforkd/handler.h>
#include <stdlib.h>
#include <time.h>

static int slow_open(const struct preforkd_setup *setup, void **state, char *error,
		     size_t error_size)
{
	struct timespec rest = {.tv_sec = atol(preforkd_option(setup, "seconds", "1"))};

	(void)error;
	(void)error_size;
	while (nanosleep(&rest, &rest) < 0 && errno == EINTR)
		;
	*state = NULL;
	return 0;
}

static int slow_serve(void *state, const struct preforkd_client *client)
{
	(void)state;
	return preforkd_write(client->fd, "slow\n", 5);
}

const struct preforkd_handler preforkd_handler = {
	.abi = PREFORKD_ABI,
	.name = "slow_open",
	.open = slow_open,
	.serve = slow_serve,
};
