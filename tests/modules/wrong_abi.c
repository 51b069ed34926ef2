/* SPDX-License-Identifier: ISC */
/* Built for another interface: must be refused by its number, not called. */
#include <preforkd/handler.h>
#include <stdlib.h>

static int wrong_serve(void *state, const struct preforkd_client *client)
{
	(void)state;
	(void)client;
	abort();
}

const struct preforkd_handler preforkd_handler = {
	.abi = PREFORKD_ABI + 1,
	.name = "wrong_abi",
	.serve = wrong_serve,
};
