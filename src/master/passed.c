/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "master/passed.h"

#define STORE_PREFIX "store."
#define HASH_DIGITS  16

const char *passed_store_name(const char *service, const char *address, char *text)
{
	/* FNV-1a: short, and the same on every machine. */
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (const char *p = address; *p; p++)
		hash = (hash ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
	snprintf(text, PASSED_NAME_MAX, STORE_PREFIX "%s.%016" PRIx64, service, hash);
	return text;
}

/* All of it: a unit store.socket passes its own as "store.socket". */
static bool is_store_name(const char *name)
{
	size_t length = strlen(name);

	return length > strlen(STORE_PREFIX) + HASH_DIGITS + 1 &&
	       strncmp(name, STORE_PREFIX, strlen(STORE_PREFIX)) == 0 &&
	       name[length - HASH_DIGITS - 1] == '.' &&
	       strspn(&name[length - HASH_DIGITS], "0123456789abcdef") == HASH_DIGITS;
}

static bool is_known_protocol(int fd, int family, int type)
{
	int protocol = 0;
	socklen_t len = sizeof(protocol);

	if (family == AF_UNIX)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) < 0)
		return false;
	return type == SOCK_STREAM ? protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP
				   : type == SOCK_DGRAM && protocol == IPPROTO_UDP;
}

/* Why nobody can be served on a socket, or NULL. */
static const char *find_fault(int fd, struct endpoint *bound)
{
	int listening = 0, family, type;
	socklen_t len = sizeof(listening);
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode))
		return "is no socket (a FIFO or a special file)";
	if (endpoint_of_socket(fd, bound) < 0)
		return "is no socket that has an address";
	family = bound->addr.any.sa_family;
	type = bound->type;
	if (family != AF_UNIX && family != AF_INET && family != AF_INET6)
		return "is neither an Internet nor a Unix socket";
	if (!is_known_protocol(fd, family, type))
		return "speaks neither TCP nor UDP";
	if (type == SOCK_DGRAM)
		return NULL;
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0 || !listening)
		return "is a connection and does not listen (Accept=yes in its .socket unit?)";
	return NULL;
}

void passed_add(struct passed *passed, int fd, const char *name)
{
	struct passed_socket *p;

	passed->items = mem_grow(passed->items, passed->count + 1, sizeof(*passed->items));
	p = &passed->items[passed->count++];
	*p = (struct passed_socket){.fd = fd, .name = mem_text(name)};
	p->stored = is_store_name(name);
	p->wrong = find_fault(fd, &p->bound);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* Workers wait in accept(). Only while nobody has it: copies of a program may rely on what it is.
 */
static void let_block(const struct passed_socket *p)
{
	int flags = fcntl(p->fd, F_GETFL);

	if (!p->wrong && flags >= 0 && (flags & O_NONBLOCK))
		fcntl(p->fd, F_SETFL, flags & ~O_NONBLOCK);
}

int passed_take(struct passed *passed, struct error *err)
{
	char **names = NULL;
	int count = sd_listen_fds_with_names(1, &names);

	if (count < 0)
		return error_set(err, EX_OSERR, "LISTEN_FDS: %s", strerror(-count));
	for (int i = 0; i < count; i++) {
		passed_add(passed, SD_LISTEN_FDS_START + i, names[i]);
		let_block(&passed->items[passed->count - 1]);
		free(names[i]);
	}
	free(names);
	return 0;
}

/* ---- matching ---- */

typedef bool fits(const struct passed_socket *socket, const struct passed_wish *wish);

static bool fits_unit(const struct passed_socket *p, const struct passed_wish *wish)
{
	return !p->stored && endpoint_equal(&p->bound, wish->endpoint);
}

static bool fits_name(const struct passed_socket *p, const struct passed_wish *wish)
{
	char address[ADDRESS_TEXT_MAX], name[PASSED_NAME_MAX];

	if (!p->stored || p->bound.type != wish->endpoint->type)
		return false;
	endpoint_format(wish->endpoint, address);
	return strcmp(p->name, passed_store_name(wish->service, address, name)) == 0;
}

static bool fits_stored(const struct passed_socket *p, const struct passed_wish *wish)
{
	return p->stored && endpoint_equal(&p->bound, wish->endpoint);
}

static bool is_matched(size_t index, const size_t *match, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (match[i] == index)
			return true;
	return false;
}

void passed_match(const struct passed *passed, const struct passed_wish *wishes, size_t count,
		  size_t *match)
{
	static fits *const ways[] = {fits_unit, fits_name, fits_stored};

	for (size_t w = 0; w < count; w++)
		match[w] = PASSED_NONE;
	for (size_t way = 0; way < sizeof(ways) / sizeof(ways[0]); way++)
		for (size_t w = 0; w < count; w++)
			for (size_t p = 0; match[w] == PASSED_NONE && p < passed->count; p++)
				if (!passed->items[p].wrong && passed->items[p].fd >= 0 &&
				    ways[way](&passed->items[p], &wishes[w]) &&
				    !is_matched(p, match, count))
					match[w] = p;
}
