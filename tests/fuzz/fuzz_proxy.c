/* SPDX-License-Identifier: ISC */
/* What a proxy, or somebody who says to be one, sends first. */
#include <config.h>

#include <string.h>
#include <sys/un.h>

#include "base/address.h"
#include "fuzz.h"
#include "worker/proxy.h"

static void check_address(const struct sockaddr_storage *address, socklen_t len)
{
	char text[ADDRESS_TEXT_MAX];

	CHECK(len >= sizeof(sa_family_t) && len <= sizeof(struct sockaddr_un));
	address_format_peer((const struct sockaddr *)address, len, text);
	CHECK(strlen(text) < sizeof(text));
	for (const char *p = text; *p; p++)
		CHECK((unsigned char)*p >= ' ' && *p != 0x7f);
}

static void check_header(const struct proxy_header *h, size_t size)
{
	CHECK(h->size > 0 && h->size <= size && h->size <= PROXY_HEADER_MAX);
	CHECK(h->local == (h->family == AF_UNSPEC));
	CHECK(h->family == h->source.ss_family);
	if (h->local)
		return;
	CHECK(h->family == AF_INET || h->family == AF_INET6 || h->family == AF_UNIX);
	check_address(&h->source, h->source_len);
	check_address(&h->destination, h->destination_len);
}

/* However it is cut: it is the same in the end, and nothing but PROXY_MORE before. */
static void check_pieces(const uint8_t *data, size_t size, enum proxy_result whole,
			 size_t header_size)
{
	enum proxy_result before = PROXY_MORE;

	for (size_t n = 0; n <= size; n++) {
		struct proxy_header h;
		enum proxy_result result = proxy_parse(data, n, &h);

		CHECK(result == before || before == PROXY_MORE);
		CHECK((result == PROXY_DONE) == (whole == PROXY_DONE && n >= header_size));
		if (result == PROXY_DONE)
			CHECK(h.size == header_size);
		before = result;
	}
	CHECK(before == whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header h;
	enum proxy_result whole = proxy_parse(data, size, &h);

	if (whole == PROXY_DONE)
		check_header(&h, size);
	CHECK(whole != PROXY_MORE || size < PROXY_HEADER_MAX);
	/* Its end is seen by then. */
	check_pieces(data, size < 600 ? size : 600,
		     whole == PROXY_DONE && h.size > 600 ? PROXY_MORE : whole, h.size);
	return 0;
}
