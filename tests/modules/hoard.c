/* SPDX-License-Identifier: ISC */
/* Echoes, and keeps a MiB of memory for itself for each client. The first byte of a request that is
 * 'p' is answered with this worker's pid instead. */
#include <preforkd/handler.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOARD (1 << 20)

static int hoard_serve(void *state, const struct preforkd_client *client)
{
	static char *all;
	char buffer[4096], *more = malloc(HOARD);
	ssize_t n = preforkd_read(client->fd, buffer, sizeof(buffer));

	(void)state;
	if (!more || n <= 0) {
		free(more);
		return -1;
	}
	memset(more, 'x', HOARD);
	memcpy(more, &all, sizeof(all));
	all = more;
	if (*buffer == 'p')
		n = snprintf(buffer, sizeof(buffer), "%d", (int)getpid());
	return preforkd_write(client->fd, buffer, (size_t)n) < 0 ? -1 : 0;
}

const struct preforkd_handler preforkd_handler = {
	.abi = PREFORKD_ABI,
	.name = "hoard",
	.serve = hoard_serve,
};
