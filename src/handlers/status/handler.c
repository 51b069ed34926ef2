/* SPDX-License-Identifier: ISC */
/*
 * status: the board over HTTP, as a page, as JSON, as metrics, and in a word. A module of its own:
 * libmicrohttpd and what that brings are no burden of the other workers.
 */
#include <config.h>

#include <errno.h>
#include <malloc.h>

#include "handlers/board_access.h"
#include "handlers/builtin.h"
#include "handlers/status/http.h"

/* A look at the board has room for far more pools and workers than there are, and most of it is
 * never touched: pages of its own each time cost nothing, where the heap would keep and clear them.
 */
#define OWN_PAGES (256 * 1024)

/* The state is of the worker: the master only knows where it will be. */
static struct http *http;

static int status_enter(void *state)
{
	(void)state;
	mallopt(M_MMAP_THRESHOLD, OWN_PAGES);
	http = http_open(handler_board());
	return http ? 0 : -1;
}

static int status_serve(void *state, const struct preforkd_client *client)
{
	(void)state;
	if (client->type != SOCK_STREAM) {
		errno = EPROTOTYPE;
		return -1;
	}
	return http_serve(http, client);
}

static void status_leave(void *state)
{
	(void)state;
	http_close(http);
}

const struct preforkd_handler preforkd_handler;
const struct preforkd_handler preforkd_handler = {
	.abi = PREFORKD_ABI,
	.name = "status",
	.open = builtin_open_plain,
	.enter = status_enter,
	.serve = status_serve,
	.leave = status_leave,
};
