/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/parse.h"
#include "ctl/bench_http.h"

void bench_http_begin(struct bench_http *http, const char *request, size_t size)
{
	*http = (struct bench_http){
		.state = HTTP_STATUS,
		.no_body = size > 5 && memcmp(request, "HEAD ", 5) == 0,
	};
}

/* What follows the name of a field, if it is that one. */
static const char *field(const char *line, const char *name)
{
	size_t length = strlen(name);

	if (strncasecmp(line, name, length) != 0 || line[length] != ':')
		return NULL;
	line += length + 1;
	return line + strspn(line, " \t");
}

/* `HTTP/1.1 200 OK` */
static enum bench_http_state status_line(struct bench_http *http)
{
	const char *line = http->line;
	char digits[4] = "";
	uint64_t status;

	if (strncmp(line, "HTTP/1.", 7) != 0 || !line[7] || line[8] != ' ')
		return HTTP_WRONG;
	strncpy(digits, line + 9, 3);
	if (parse_uint(digits, 100, 399, &status) < 0)
		return HTTP_WRONG;
	http->status = (unsigned)status;
	http->closes = line[7] == '0';
	return HTTP_HEAD;
}

static enum bench_http_state end_of_head(struct bench_http *http)
{
	if (http->status < 200)
		return HTTP_STATUS; /* the real one follows */
	if (http->no_body || http->status == 204 || http->status == 304)
		return HTTP_DONE;
	if (http->chunked)
		return HTTP_CHUNK;
	if (http->has_length)
		return http->left ? HTTP_LENGTH : HTTP_DONE;
	http->closes = true;
	return HTTP_TO_END;
}

static enum bench_http_state head_line(struct bench_http *http)
{
	const char *value;

	if (http->line[0] == '\0')
		return end_of_head(http);
	if ((value = field(http->line, "Content-Length"))) {
		if (parse_uint(value, 0, UINT64_MAX, &http->left) < 0)
			return HTTP_WRONG;
		http->has_length = true;
	} else if ((value = field(http->line, "Transfer-Encoding"))) {
		http->chunked = strcasestr(value, "chunked") != NULL;
	} else if ((value = field(http->line, "Connection"))) {
		if (strcasestr(value, "close"))
			http->closes = true;
		else if (strcasestr(value, "keep-alive"))
			http->closes = false;
	}
	return HTTP_HEAD;
}

/* The size of a chunk, perhaps with extensions behind it. */
static enum bench_http_state chunk_line(struct bench_http *http)
{
	char *end;

	http->left = strtoull(http->line, &end, 16);
	if (end == http->line || end > http->line + 15)
		return HTTP_WRONG;
	return http->left ? HTTP_CHUNK_DATA : HTTP_TRAILER;
}

static enum bench_http_state whole_line(struct bench_http *http)
{
	switch (http->state) {
	case HTTP_STATUS:
		return status_line(http);
	case HTTP_HEAD:
		return head_line(http);
	case HTTP_CHUNK:
		return chunk_line(http);
	case HTTP_CHUNK_END:
		return http->line[0] ? HTTP_WRONG : HTTP_CHUNK;
	case HTTP_TRAILER:
		return http->line[0] ? HTTP_TRAILER : HTTP_DONE;
	default:
		return HTTP_WRONG;
	}
}

/* Returns how many of the bytes it took. */
static size_t feed_line(struct bench_http *http, const char *data, size_t size)
{
	const char *end = memchr(data, '\n', size);
	size_t taken = end ? (size_t)(end - data) : size;
	size_t room = sizeof(http->line) - 1 - http->line_size;
	size_t kept = taken < room ? taken : room;

	memcpy(http->line + http->line_size, data, kept);
	http->line_size += kept;
	if (!end)
		return taken;
	if (http->line_size > 0 && http->line[http->line_size - 1] == '\r')
		http->line_size--;
	http->line[http->line_size] = '\0';
	http->line_size = 0;
	http->state = whole_line(http);
	return taken + 1;
}

static size_t feed_body(struct bench_http *http, size_t size)
{
	size_t taken = size < http->left ? size : (size_t)http->left;

	http->left -= taken;
	if (http->left == 0)
		http->state = http->state == HTTP_LENGTH ? HTTP_DONE : HTTP_CHUNK_END;
	return taken;
}

enum bench_http_state bench_http_feed(struct bench_http *http, const char *data, size_t size)
{
	while (size > 0) {
		size_t taken = size;

		if (http->state == HTTP_DONE)
			http->state = HTTP_WRONG;
		else if (http->state == HTTP_LENGTH || http->state == HTTP_CHUNK_DATA)
			taken = feed_body(http, size);
		else if (http->state != HTTP_TO_END && http->state != HTTP_WRONG)
			taken = feed_line(http, data, size);
		data += taken;
		size -= taken;
	}
	return http->state;
}
