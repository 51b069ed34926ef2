/* SPDX-License-Identifier: ISC */
/* Its open kills the process that calls it: no master may ever do that itself. */
#include <preforkd/handler.h>
#include <signal.h>
#include <stdlib.h>

static int crash_open(const struct preforkd_setup *setup, void **state, char *error,
		      size_t error_size)
{
	(void)setup;
	(void)state;
	(void)error;
	(void)error_size;
	/* The default action first: a sanitizer's handler would turn the signal into an exit. */
	signal(SIGABRT, SIG_DFL);
	abort();
}

static int crash_serve(void *state, const struct preforkd_client *client)
{
	(void)state;
	(void)client;
	return 0;
}

const struct preforkd_handler preforkd_handler = {
	.abi = PREFORKD_ABI,
	.name = "crash_open",
	.open = crash_open,
	.serve = crash_serve,
};
