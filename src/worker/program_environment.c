/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

#include "base/mem.h"
#include "worker/program.h"

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

struct writer {
	struct program_environment *env;
	size_t count;
	char *p, *end;
};

void program_environment_init(struct program_environment *env, const struct program *program)
{
	env->fixed = program->environment_count;
	env->list = mem_new(env->fixed + PROGRAM_VARIABLES + 1, sizeof(char *));
	memcpy(env->list, program->environment, env->fixed * sizeof(char *));
}

/* PREFIX and NAME without anything between: TCP and LOCALIP. Not by printf(3): with eleven of them
 * that is 4 % of what a short program costs. */
static void put(struct writer *w, const char *prefix, const char *name, const char *value)
{
	size_t of_prefix = strlen(prefix), of_name = strlen(name), of_value = strlen(value);
	char *p = w->p;

	if (of_prefix + of_name + of_value + 2 > (size_t)(w->end - p) ||
	    w->count == PROGRAM_VARIABLES)
		return;
	w->env->list[w->env->fixed + w->count++] = p;
	p = mempcpy(p, prefix, of_prefix);
	p = mempcpy(p, name, of_name);
	*p++ = '=';
	w->p = mempcpy(p, value, of_value + 1);
}

/* Returns where the digits begin; they end the text. */
static char *format_number(char text[16], unsigned value)
{
	char *p = text + 15;

	*p = '\0';
	do {
		*--p = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	return p;
}

static void put_number(struct writer *w, const char *prefix, const char *name, unsigned value)
{
	char text[16];

	put(w, prefix, name, format_number(text, value));
}

static void format_inet(char *text, const struct in_addr *address)
{
	const unsigned char *bytes = (const void *)address;
	char number[16], *p = text;

	for (int i = 0; i < 4; i++) {
		if (i > 0)
			*p++ = '.';
		p = stpcpy(p, format_number(number, bytes[i]));
	}
}

struct place {
	char ip[INET6_ADDRSTRLEN];
	unsigned port;
};

static struct place place_of(const union address *a)
{
	struct place place = {.ip = ""};

	if (a->any.sa_family == AF_INET) {
		format_inet(place.ip, &a->in.sin_addr);
		place.port = ntohs(a->in.sin_port);
	} else if (a->any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &a->in6.sin6_addr, place.ip, sizeof(place.ip));
		place.port = ntohs(a->in6.sin6_port);
	}
	return place;
}

static void put_inet(struct writer *w, const char *family, const union address *peer,
		     const union address *local, unsigned number)
{
	struct place from = place_of(peer), at = place_of(local);

	put(w, "", "PROTO", family);
	put(w, family, "LOCALIP", at.ip);
	put_number(w, family, "LOCALPORT", at.port);
	put(w, family, "REMOTEIP", from.ip);
	put_number(w, family, "REMOTEPORT", from.port);
	if (number)
		put_number(w, family, "CONNNUM", number);
	put(w, "", "REMOTE_ADDR", from.ip);
	put_number(w, "", "REMOTE_PORT", from.port);
	put(w, "", "REMOTE_HOST", from.ip);
	put(w, "", "SERVER_ADDR", at.ip);
	put_number(w, "", "SERVER_PORT", at.port);
}

/* A path, or @name of the abstract name space; empty where there is none. */
static void name_of(const union address *a, socklen_t len, char text[sizeof(a->un.sun_path) + 1])
{
	size_t size = len > offsetof(struct sockaddr_un, sun_path)
			      ? len - offsetof(struct sockaddr_un, sun_path)
			      : 0;

	if (size > sizeof(a->un.sun_path))
		size = sizeof(a->un.sun_path);
	memcpy(text, a->un.sun_path, size);
	text[size] = '\0';
	if (size > 0 && *text == '\0')
		*text = '@';
}

static void put_unix(struct writer *w, int fd, const union address *peer, socklen_t peer_len,
		     const union address *local, socklen_t local_len, unsigned number)
{
	char name[sizeof(peer->un.sun_path) + 1];
	struct ucred who;
	socklen_t size = sizeof(who);

	put(w, "", "PROTO", "IPC");
	if (fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0) {
		put_number(w, "IPC", "REMOTEEUID", who.uid);
		put_number(w, "IPC", "REMOTEEGID", who.gid);
	}
	name_of(peer, peer_len, name);
	put(w, "IPC", "REMOTEPATH", name);
	if (*name)
		put(w, "", "REMOTE_ADDR", name);
	name_of(local, local_len, name);
	put(w, "IPC", "LOCALPATH", name);
	if (number)
		put_number(w, "IPC", "CONNNUM", number);
}

void program_environment_fill(struct program_environment *env, int type, int fd,
			      const struct sockaddr *peer, socklen_t peer_len,
			      const struct sockaddr *local, socklen_t local_len, unsigned number)
{
	struct writer w = {.env = env, .p = env->text, .end = env->text + sizeof(env->text)};
	union address from = {.any = {.sa_family = AF_UNSPEC}};
	union address at = {.any = {.sa_family = AF_UNSPEC}};

	memcpy(&from, peer, peer_len < sizeof(from) ? peer_len : sizeof(from));
	memcpy(&at, local, local_len < sizeof(at) ? local_len : sizeof(at));
	if (at.any.sa_family == AF_UNIX || from.any.sa_family == AF_UNIX)
		put_unix(&w, fd, &from, peer_len, &at, local_len, number);
	else
		put_inet(&w, type == SOCK_DGRAM ? "UDP" : "TCP", &from, &at, number);
	env->list[env->fixed + w.count] = NULL;
}
