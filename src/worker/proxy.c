/* SPDX-License-Identifier: ISC */
/* After proxy-protocol.txt of HAProxy, sections 2.1 and 2.2. */
#include <config.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/un.h>

#include "base/address.h"
#include "worker/proxy.h"

/* ---- version 1: a line of text ---- */

#define V1_MAX 107 /* with CR and LF */

static const char v1_signature[] = {'P', 'R', 'O', 'X', 'Y'};

struct text {
	const char *p, *end;
};

static bool take(struct text *t, const char *literal)
{
	size_t length = strlen(literal);

	if ((size_t)(t->end - t->p) < length || memcmp(t->p, literal, length) != 0)
		return false;
	t->p += length;
	return true;
}

/* One or more of `characters`, copied with a zero byte. */
static bool take_word(struct text *t, const char *characters, char *word, size_t room)
{
	size_t length = 0;

	while (t->p < t->end && *t->p && strchr(characters, *t->p)) {
		if (length + 1 == room)
			return false;
		word[length++] = *t->p++;
	}
	word[length] = '\0';
	return length > 0;
}

/* Neither inet_pton(3) takes numbers of an IPv4 address with zeroes in front, nor do we. */
static bool take_address(struct text *t, int family, void *address)
{
	char word[INET6_ADDRSTRLEN];

	return take_word(t, family == AF_INET ? "0123456789." : "0123456789abcdefABCDEF:.", word,
			 sizeof(word)) &&
	       inet_pton(family, word, address) == 1;
}

static bool take_port(struct text *t, in_port_t *port)
{
	char word[sizeof("65535")];
	unsigned value = 0;

	if (!take_word(t, "0123456789", word, sizeof(word)) || (word[0] == '0' && word[1] != '\0'))
		return false;
	for (const char *p = word; *p; p++)
		value = value * 10 + (unsigned)(*p - '0');
	*port = htons((uint16_t)value);
	return value <= UINT16_MAX;
}

static bool take_inet(struct text *t, struct sockaddr_in *source, struct sockaddr_in *destination)
{
	source->sin_family = destination->sin_family = AF_INET;
	return take_address(t, AF_INET, &source->sin_addr) && take(t, " ") &&
	       take_address(t, AF_INET, &destination->sin_addr) && take(t, " ") &&
	       take_port(t, &source->sin_port) && take(t, " ") &&
	       take_port(t, &destination->sin_port) && t->p == t->end;
}

static bool take_inet6(struct text *t, struct sockaddr_in6 *source,
		       struct sockaddr_in6 *destination)
{
	source->sin6_family = destination->sin6_family = AF_INET6;
	return take_address(t, AF_INET6, &source->sin6_addr) && take(t, " ") &&
	       take_address(t, AF_INET6, &destination->sin6_addr) && take(t, " ") &&
	       take_port(t, &source->sin6_port) && take(t, " ") &&
	       take_port(t, &destination->sin6_port) && t->p == t->end;
}

static void set_lengths(struct proxy_header *h, size_t length)
{
	h->source_len = address_unmap((struct sockaddr *)&h->source, (socklen_t)length);
	h->destination_len = address_unmap((struct sockaddr *)&h->destination, (socklen_t)length);
	h->family = h->source_len == sizeof(struct sockaddr_in) ? AF_INET : AF_INET6;
}

static bool parse_line(struct text t, struct proxy_header *h)
{
	if (take(&t, " UNKNOWN")) {
		h->local = true;
		return t.p == t.end || *t.p == ' ';
	}
	if (take(&t, " TCP4 ") && take_inet(&t, (void *)&h->source, (void *)&h->destination)) {
		set_lengths(h, sizeof(struct sockaddr_in));
		return true;
	}
	if (take(&t, " TCP6 ") && take_inet6(&t, (void *)&h->source, (void *)&h->destination)) {
		set_lengths(h, sizeof(struct sockaddr_in6));
		return true;
	}
	return false;
}

/* The place of the CR that ends the line; NULL with PROXY_MORE or PROXY_BAD in *otherwise. */
static const char *end_of_line(const char *bytes, size_t size, enum proxy_result *otherwise)
{
	size_t most = size < V1_MAX ? size : V1_MAX, i = sizeof(v1_signature);

	while (i < most && bytes[i] != '\r' && bytes[i] != '\n')
		i++;
	*otherwise = i + 1 < V1_MAX ? PROXY_MORE : PROXY_BAD;
	if (i == most || (bytes[i] == '\r' && i + 1 == most))
		return NULL;
	*otherwise = PROXY_BAD;
	return bytes[i] == '\r' && bytes[i + 1] == '\n' ? bytes + i : NULL;
}

static enum proxy_result parse_v1(const char *bytes, size_t size, struct proxy_header *h)
{
	enum proxy_result otherwise;
	const char *end = end_of_line(bytes, size, &otherwise);

	if (!end)
		return otherwise;
	h->size = (size_t)(end + 2 - bytes);
	return parse_line((struct text){bytes + sizeof(v1_signature), end}, h) ? PROXY_DONE
									       : PROXY_BAD;
}

/* ---- version 2: bytes ---- */

#define V2_HEAD   16
#define TLV_HEAD  3
#define UNIX_SIZE 108

static const char v2_signature[] = {'\r', '\n', '\r', '\n', '\0', '\r',
				    '\n', 'Q',  'U',  'I',  'T',  '\n'};

enum v2_command { V2_LOCAL, V2_PROXY };
enum v2_family { V2_UNSPEC, V2_INET, V2_INET6, V2_UNIX };

/* The bytes of both addresses, and of the ports. */
static const size_t address_sizes[] = {
	[V2_UNSPEC] = 0, [V2_INET] = 12, [V2_INET6] = 36, [V2_UNIX] = 2 * UNIX_SIZE};

static size_t number_of(const unsigned char *p)
{
	return (size_t)p[0] << 8 | p[1];
}

/* Nobody here wants to know what is in them, but a header that lies of their lengths is not one. */
static bool are_vectors(const unsigned char *p, size_t size)
{
	while (size >= TLV_HEAD && size - TLV_HEAD >= number_of(p + 1)) {
		size_t length = TLV_HEAD + number_of(p + 1);

		p += length;
		size -= length;
	}
	return size == 0;
}

static void set_inet(struct proxy_header *h, const unsigned char *p)
{
	struct sockaddr_in *source = (void *)&h->source, *destination = (void *)&h->destination;

	source->sin_family = destination->sin_family = AF_INET;
	memcpy(&source->sin_addr, p, 4);
	memcpy(&destination->sin_addr, p + 4, 4);
	memcpy(&source->sin_port, p + 8, 2);
	memcpy(&destination->sin_port, p + 10, 2);
	set_lengths(h, sizeof(*source));
}

static void set_inet6(struct proxy_header *h, const unsigned char *p)
{
	struct sockaddr_in6 *source = (void *)&h->source, *destination = (void *)&h->destination;

	source->sin6_family = destination->sin6_family = AF_INET6;
	memcpy(&source->sin6_addr, p, 16);
	memcpy(&destination->sin6_addr, p + 16, 16);
	memcpy(&source->sin6_port, p + 32, 2);
	memcpy(&destination->sin6_port, p + 34, 2);
	set_lengths(h, sizeof(*source));
}

/* A path ends at its zero byte. A name of the abstract name space may hold some, but those that
 * fill up cannot be told from its own at the end. */
static socklen_t set_path(struct sockaddr_storage *address, const unsigned char *p)
{
	struct sockaddr_un *un = (void *)address;
	size_t length = UNIX_SIZE;

	if (*p)
		length = strnlen((const char *)p, UNIX_SIZE);
	else
		while (length > 0 && !p[length - 1])
			length--;
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, p, length);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

static void set_addresses(struct proxy_header *h, enum v2_family family, const unsigned char *p)
{
	switch (family) {
	case V2_INET:
		set_inet(h, p);
		break;
	case V2_INET6:
		set_inet6(h, p);
		break;
	case V2_UNIX:
		h->source_len = set_path(&h->source, p);
		h->destination_len = set_path(&h->destination, p + UNIX_SIZE);
		h->family = AF_UNIX;
		break;
	case V2_UNSPEC:
		break;
	}
}

/* All of it is there. */
static enum proxy_result parse_block(const unsigned char *head, size_t size, struct proxy_header *h)
{
	unsigned command = head[12] & 0xf, family = head[13] >> 4, transport = head[13] & 0xf;
	const unsigned char *block = head + V2_HEAD;

	h->local = command == V2_LOCAL || family == V2_UNSPEC || transport == 0;
	if (h->local)
		return PROXY_DONE;
	if (size < address_sizes[family] ||
	    !are_vectors(block + address_sizes[family], size - address_sizes[family]))
		return PROXY_BAD;
	set_addresses(h, family, block);
	return PROXY_DONE;
}

static enum proxy_result parse_v2(const unsigned char *bytes, size_t size, struct proxy_header *h)
{
	unsigned command, family, transport;

	if (size < V2_HEAD)
		return PROXY_MORE;
	command = bytes[12] & 0xf;
	family = bytes[13] >> 4;
	transport = bytes[13] & 0xf;
	h->size = V2_HEAD + number_of(bytes + 14);
	if (bytes[12] >> 4 != 2 || command > V2_PROXY || h->size > PROXY_HEADER_MAX)
		return PROXY_BAD;
	/* With LOCAL they mean nothing. */
	if (command == V2_PROXY && (family > V2_UNIX || transport > 2))
		return PROXY_BAD;
	return size < h->size ? PROXY_MORE : parse_block(bytes, h->size - V2_HEAD, h);
}

/* ---- which of them ---- */

/* PROXY_DONE: it begins so. */
static enum proxy_result begins(const void *bytes, size_t size, const void *signature,
				size_t length)
{
	if (memcmp(bytes, signature, size < length ? size : length) != 0)
		return PROXY_NONE;
	return size < length ? PROXY_MORE : PROXY_DONE;
}

enum proxy_result proxy_parse(const void *bytes, size_t size, struct proxy_header *header)
{
	enum proxy_result v1, v2;

	*header = (struct proxy_header){.family = AF_UNSPEC};
	if (size == 0)
		return PROXY_MORE;
	v1 = begins(bytes, size, v1_signature, sizeof(v1_signature));
	v2 = begins(bytes, size, v2_signature, sizeof(v2_signature));
	if (v1 == PROXY_DONE)
		return parse_v1(bytes, size, header);
	if (v2 == PROXY_DONE)
		return parse_v2(bytes, size, header);
	return v1 == PROXY_MORE || v2 == PROXY_MORE ? PROXY_MORE : PROXY_NONE;
}
