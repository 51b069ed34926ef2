/* SPDX-License-Identifier: ISC */
/* HTTP for one connection at a time, by libmicrohttpd. */
#ifndef HANDLERS_STATUS_HTTP_H
#define HANDLERS_STATUS_HTTP_H

#include <preforkd/handler.h>

#include "board/read.h"

struct http;

/* The board is read anew for every request; NULL: there is none to read. Returns NULL with errno.
 */
struct http *http_open(const struct board_reader *board);
/*
 * Serves one request. The client's socket has the idle timeout (SO_RCVTIMEO), which is kept here,
 * because it does not block meanwhile. Returns 0, or -1 with errno: EAGAIN is that timeout.
 */
int http_serve(struct http *http, const struct preforkd_client *client);
void http_close(struct http *http);

#endif
