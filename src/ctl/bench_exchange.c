/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <string.h>

#include "ctl/bench_exchange.h"

void bench_exchange_init(struct bench_exchange *exchange, const struct bench_settings *settings)
{
	exchange->mode = settings->mode;
	exchange->request = settings->request;
	exchange->size = settings->request ? settings->request_size : settings->size;
	if (settings->mode == BENCH_READ)
		exchange->size = 0;
	/* Letters: servers may log what they get. */
	for (unsigned i = 0; i < BENCH_PATTERN; i++)
		exchange->pattern[i] = (char)('a' + i % 26);
	if (exchange->mode == BENCH_LINE && !exchange->request)
		exchange->pattern[exchange->size - 1] = '\n';
}

static void stamp(struct bench_exchange *exchange, uint64_t token)
{
	static const char digits[65] =
		"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
	uint64_t room = exchange->size - (exchange->mode == BENCH_LINE);

	for (unsigned i = 0; i < BENCH_TOKEN && i < room; i++)
		exchange->pattern[i] = digits[token >> 6 * i & 63];
}

size_t bench_exchange_chunk(struct bench_exchange *exchange, uint64_t token, uint64_t offset,
			    const char **data)
{
	uint64_t left = exchange->size - offset;
	size_t at = offset % BENCH_PATTERN;

	if (exchange->request) {
		*data = exchange->request + offset;
		return left < BENCH_PATTERN ? (size_t)left : BENCH_PATTERN;
	}
	*data = exchange->pattern + at;
	if (left == 0)
		return 0;
	stamp(exchange, token);
	return left < BENCH_PATTERN - at ? (size_t)left : BENCH_PATTERN - at;
}

void bench_reply_begin(const struct bench_exchange *exchange, struct bench_reply *reply)
{
	reply->got = 0;
	reply->line = false;
	if (exchange->mode == BENCH_HTTP)
		bench_http_begin(&reply->http, exchange->request, exchange->size);
}

static enum bench_verdict feed_echo(struct bench_exchange *exchange, struct bench_reply *reply,
				    uint64_t token, const char *data, size_t size)
{
	while (size > 0) {
		const char *wanted;
		size_t n = bench_exchange_chunk(exchange, token, reply->got, &wanted);

		if (n > size)
			n = size;
		if (n == 0 || memcmp(data, wanted, n) != 0)
			return BENCH_BAD;
		reply->got += n;
		data += n;
		size -= n;
	}
	return reply->got == exchange->size ? BENCH_WHOLE : BENCH_MORE;
}

static enum bench_verdict feed_line(struct bench_reply *reply, const char *data, size_t size)
{
	const char *end = memchr(data, '\n', size);

	if (reply->line || (end && end != data + size - 1))
		return BENCH_BAD;
	reply->line = end != NULL;
	return end ? BENCH_WHOLE : BENCH_MORE;
}

static enum bench_verdict feed_http(struct bench_reply *reply, const char *data, size_t size)
{
	switch (bench_http_feed(&reply->http, data, size)) {
	case HTTP_DONE:
		return BENCH_WHOLE;
	case HTTP_WRONG:
		return BENCH_BAD;
	default:
		return BENCH_MORE;
	}
}

enum bench_verdict bench_reply_feed(struct bench_exchange *exchange, struct bench_reply *reply,
				    uint64_t token, const char *data, size_t size)
{
	if (exchange->mode == BENCH_ECHO)
		return feed_echo(exchange, reply, token, data, size);
	reply->got += size;
	switch (exchange->mode) {
	case BENCH_LINE:
		return feed_line(reply, data, size);
	case BENCH_HTTP:
		return feed_http(reply, data, size);
	case BENCH_DISCARD:
		return BENCH_BAD;
	default:
		return BENCH_MORE;
	}
}

static bool complete(const struct bench_exchange *exchange, const struct bench_reply *reply)
{
	switch (exchange->mode) {
	case BENCH_ECHO:
		return reply->got == exchange->size;
	case BENCH_LINE:
		return reply->line;
	case BENCH_HTTP:
		return reply->http.state == HTTP_DONE || reply->http.state == HTTP_TO_END;
	case BENCH_DISCARD:
		return true;
	default:
		return reply->got > 0;
	}
}

enum bench_verdict bench_reply_end(const struct bench_exchange *exchange,
				   const struct bench_reply *reply)
{
	return complete(exchange, reply) ? BENCH_WHOLE : BENCH_EARLY;
}

enum bench_verdict bench_reply_datagram(struct bench_exchange *exchange, uint64_t token,
					const char *data, size_t size)
{
	struct bench_reply reply;

	if (exchange->mode != BENCH_ECHO)
		return BENCH_WHOLE;
	bench_reply_begin(exchange, &reply);
	if (size == 0 && exchange->size == 0)
		return BENCH_WHOLE;
	return feed_echo(exchange, &reply, token, data, size) == BENCH_WHOLE ? BENCH_WHOLE
									     : BENCH_BAD;
}
