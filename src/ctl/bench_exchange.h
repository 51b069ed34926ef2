/* SPDX-License-Identifier: ISC */
/* What is sent in a request, and whether what comes back is its reply. No sockets. */
#ifndef CTL_BENCH_EXCHANGE_H
#define CTL_BENCH_EXCHANGE_H

#include "ctl/bench.h"
#include "ctl/bench_http.h"

/* What a message that is made up repeats; the longest line that is. */
#define BENCH_PATTERN 65536
#define BENCH_TOKEN   8

/* What all requests of a process have in common. */
struct bench_exchange {
	enum bench_mode mode;
	const char *request; /* as given, or NULL */
	uint64_t size;       /* of the message */
	char pattern[BENCH_PATTERN];
};

struct bench_reply {
	uint64_t got;
	bool line; /* a whole one came */
	struct bench_http http;
};

enum bench_verdict {
	BENCH_MORE,  /* is to come, or may */
	BENCH_WHOLE, /* nothing more may come */
	BENCH_BAD,
	BENCH_EARLY
};

void bench_exchange_init(struct bench_exchange *exchange, const struct bench_settings *settings);
/* The next bytes from the offset on, until the next call; token: the number of the request, which
 * makes it differ from others. Returns how many, 0 at the end. */
size_t bench_exchange_chunk(struct bench_exchange *exchange, uint64_t token, uint64_t offset,
			    const char **data);

void bench_reply_begin(const struct bench_exchange *exchange, struct bench_reply *reply);
enum bench_verdict bench_reply_feed(struct bench_exchange *exchange, struct bench_reply *reply,
				    uint64_t token, const char *data, size_t size);
/* At the end of the connection: BENCH_WHOLE or BENCH_EARLY. */
enum bench_verdict bench_reply_end(const struct bench_exchange *exchange,
				   const struct bench_reply *reply);
/* Of a datagram: BENCH_WHOLE or BENCH_BAD. */
enum bench_verdict bench_reply_datagram(struct bench_exchange *exchange, uint64_t token,
					const char *data, size_t size);

#endif
