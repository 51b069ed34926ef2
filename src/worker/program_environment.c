/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
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

/* PREFIX and NAME without anything between: TCP and LOCALIP. */
static void put(struct writer *w, const char *prefix, const char *name, const char *value)
{
	size_t room = (size_t)(w->end - w->p);
	int n = snprintf(w->p, room, "%s%s=%s", prefix, name, value);

	if (n < 0 || (size_t)n >= room || w->count == PROGRAM_VARIABLES)
		return;
	w->env->list[w->env->fixed + w->count++] = w->p;
	w->p += n + 1;
}

static void put_number(struct writer *w, const char *prefix, const char *name, unsigned value)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", value);
	put(w, prefix, name, text);
}

struct place {
	char ip[INET6_ADDRSTRLEN];
	unsigned port;
};

static struct place place_of(const union address *a)
{
	struct place place = {.ip = ""};

	if (a->any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &a->in.sin_addr, place.ip, sizeof(place.ip));
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
