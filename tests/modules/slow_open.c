/* SPDX-License-Identifier: ISC */
/* Its open sleeps for the option `seconds` (1), through signals. */
#include <preforkd/handler.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int slow_open(const struct preforkd_setup *setup, void **state, char *error,
		     size_t error_size)
{
	const char *seconds = preforkd_option(setup, "seconds", "1");
	struct timespec rest = {0};
	char *end;

	rest.tv_sec = strtol(seconds, &end, 10);
	if (end == seconds || *end != '\0' || rest.tv_sec < 0) {
		snprintf(error, error_size, "seconds: not a number: %s", seconds);
		return -1;
	}
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
