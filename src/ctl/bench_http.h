/* SPDX-License-Identifier: ISC */
/* Where a reply of HTTP/1 ends, as its head says, read as it comes. */
#ifndef CTL_BENCH_HTTP_H
#define CTL_BENCH_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bench_http_state {
	HTTP_STATUS,
	HTTP_HEAD,
	HTTP_LENGTH, /* so many bytes are still to come */
	HTTP_TO_END, /* of the connection */
	HTTP_CHUNK,
	HTTP_CHUNK_DATA,
	HTTP_CHUNK_END,
	HTTP_TRAILER,
	HTTP_DONE,
	HTTP_WRONG /* not HTTP, a status of 400 and above, more than the reply */
};

struct bench_http {
	enum bench_http_state state;
	bool no_body; /* it is the reply to HEAD */
	bool closes;  /* the server ends the connection after it */
	bool chunked, has_length;
	unsigned status;
	uint64_t left;
	size_t line_size;
	char line[96]; /* longer ones are cut: none that matters is */
};

void bench_http_begin(struct bench_http *http, const char *request, size_t size);
enum bench_http_state bench_http_feed(struct bench_http *http, const char *data, size_t size);

#endif
