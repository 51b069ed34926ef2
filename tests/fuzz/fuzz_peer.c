/* SPDX-License-Identifier: ISC */
/* Names that clients on Unix sockets give themselves, and those that proxies say they have: in the
 * log and in the environment of programs. */
#include <config.h>

#include <string.h>

#include "base/address.h"
#include "fuzz.h"
#include "worker/program.h"

union peer {
	struct sockaddr any;
	struct sockaddr_un un;
	struct sockaddr_storage storage;
};

static socklen_t fill(union peer *peer, const uint8_t *data, size_t size)
{
	static const sa_family_t families[] = {AF_UNIX, AF_INET, AF_INET6, AF_UNSPEC};
	size_t length = size < sizeof(peer->un) ? size : sizeof(peer->un);

	memset(peer, 0, sizeof(*peer));
	memcpy(peer, data, length);
	if (length < sizeof(sa_family_t))
		length = sizeof(sa_family_t);
	peer->any.sa_family = families[size > 0 ? data[0] % 4 : 0];
	/* The kernel and the parser of headers know how long these are. */
	if (peer->any.sa_family == AF_INET)
		length = sizeof(struct sockaddr_in);
	else if (peer->any.sa_family == AF_INET6)
		length = sizeof(struct sockaddr_in6);
	return (socklen_t)length;
}

static void check_shown(const union peer *peer, socklen_t len)
{
	char text[ADDRESS_TEXT_MAX];

	address_format_peer(&peer->any, len, text);
	CHECK(strlen(text) < sizeof(text));
	for (const char *p = text; *p; p++)
		CHECK((unsigned char)*p >= ' ' && *p != 0x7f);
}

static void check_environment(const union peer *peer, socklen_t len, const union peer *local,
			      socklen_t local_len)
{
	static struct program_environment env;
	static char *const none[] = {NULL};
	static const struct program program = {.environment = none};
	size_t count = 0, used = 0;

	if (!env.list)
		program_environment_init(&env, &program);
	program_environment_fill(&env, SOCK_STREAM, -1, &peer->any, len, &local->any, local_len, 1);
	for (; env.list[count]; count++) {
		CHECK(env.list[count] == env.text + used);
		CHECK(strchr(env.list[count], '='));
		used += strlen(env.list[count]) + 1;
	}
	CHECK(count >= 2 && count <= PROGRAM_VARIABLES && used <= sizeof(env.text));
}

/* Two of them, the second half of the bytes is of what the client is connected to. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	union peer peer, local;
	socklen_t len = fill(&peer, data, size / 2);
	socklen_t local_len = fill(&local, data + size / 2, size - size / 2);

	check_shown(&peer, len);
	check_shown(&local, local_len);
	check_environment(&peer, len, &local, local_len);
	return 0;
}
