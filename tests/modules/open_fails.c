/* SPDX-License-Identifier: ISC */
/* Its open fails, with the text of the option `text` or one of its own; with none for text = "". */
#include <preforkd/handler.h>
#include <stdio.h>

static int fails_open(const struct preforkd_setup *setup, void **state, char *error,
		      size_t error_size)
{
	(void)state;
	snprintf(error, error_size, "%s", preforkd_option(setup, "text", "this open always fails"));
	return -1;
}

static int fails_serve(void *state, const struct preforkd_client *client)
{
	(void)state;
	(void)client;
	return 0;
}

const struct preforkd_handler preforkd_handler = {
	.abi = PREFORKD_ABI,
	.name = "open_fails",
	.open = fails_open,
	.serve = fails_serve,
};
