/* SPDX-License-Identifier: ISC */
/* An open listening or datagram socket. */
#ifndef MASTER_LISTENER_H
#define MASTER_LISTENER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/address.h"
#include "base/error.h"

struct service_config;

struct listener {
	int fd;
	int ready;                /* epoll(7) that its workers wait in, or -1; see worker/ready.h */
	int turns;                /* or take turns by, or -1; see worker/turns.h */
	unsigned users;           /* pools that hold it */
	bool listening;           /* listen() was called; datagram sockets need none */
	bool draining;            /* new clients are kept out */
	bool passed;              /* by a .socket unit, which keeps it */
	char *stored;             /* its name in the FD store, or NULL */
	struct endpoint endpoint; /* as configured */
	struct endpoint bound;    /* with the port that the kernel chose */
	char configured[ADDRESS_TEXT_MAX]; /* both as text */
	char address[ADDRESS_TEXT_MAX];
	bool tells_destination; /* each datagram comes with the address it was sent to */
	bool owns_path;         /* a Unix socket's path, to unlink while it is still this one */
	dev_t dev;
	ino_t ino;
};

/*
 * socket, options and bind; not yet listen: nobody can connect. A stale Unix socket is replaced; a
 * live one is an error. Returns NULL with err, which names the address.
 */
struct listener *listener_bind(const struct endpoint *endpoint,
			       const struct service_config *service, struct error *err);
/*
 * A socket that is open already: `passed` by a .socket unit (it stays the unit's: never closed
 * here), or of the FD store under the name `stored`, or kept across an upgrade. Takes the
 * descriptor over, whose flags are left alone.
 */
struct listener *listener_adopt(const struct endpoint *endpoint, int fd, bool passed,
				const char *stored);
/* Takes the socket at its path for its own. Returns false where none is, or another server's:
 * nobody can come to it. */
bool listener_find_path(struct listener *listener);
/* Sets what the service says on a socket that is already bound. */
int listener_apply(struct listener *listener, const struct service_config *service,
		   struct error *err);
/* For workers that do not wait in accept(): makes what they wait in. Returns 0, or -1 with err. */
int listener_open_ready(struct listener *listener, struct error *err);
int listener_open_turns(struct listener *listener, struct error *err);
/* For who waits in accept(), or does not: whatever a program may have set on it. */
void listener_set_blocking(const struct listener *listener, bool blocking);
/* listen(2), where the type wants it; again to change the backlog. */
int listener_listen(struct listener *listener, const struct service_config *service,
		    struct error *err);
/* One user less; the last one closes it and removes its path, unless it is in the FD store. */
void listener_release(struct listener *listener);
/* Unlinks its path, if that is still its own. */
void listener_remove_path(struct listener *listener);

/* Keeps new clients out, those in the queue stay: the path is unlinked, new TCP handshakes and UDP
 * datagrams dropped. */
void listener_refuse_new(struct listener *listener);
/* Whether that can be taken back, and doing so. */
bool listener_can_reopen(const struct listener *listener);
void listener_reopen(struct listener *listener);
/* True when no client waits in the queue. */
bool listener_is_empty(const struct listener *listener);
/* Connections in the accept queue, or -1 where the kernel does not tell. */
int listener_queue(const struct listener *listener);
/* The same, with how many it takes. */
int listener_read_queue(const struct listener *listener, int *limit);
bool listener_port_is_fixed(const struct listener *listener);
/*
 * True when accepted sockets come with the idle_timeout of the service: TCP copies SO_RCVTIMEO and
 * SO_SNDTIMEO from the listener. That saves two system calls a client, which cost 3 % of a short
 * connection's CPU. accept() then returns now and then without a client, which is why short
 * timeouts are set on each client instead.
 */
bool listener_hands_down_timeout(const struct listener *listener,
				 const struct service_config *service);
/* True when each datagram comes with the address it was sent to. */
bool listener_tells_destination(const struct listener *listener);

/* For the parts of this one: what must be set before bind(2), its kind, and an error of errno. */
void listener_learn_destination(struct listener *listener);
int listener_set_before_bind(struct listener *listener, const struct service_config *service,
			     struct error *err);
bool listener_is_inet(const struct listener *listener);
bool listener_has_path(const struct listener *listener);
int listener_failed(const struct listener *listener, const char *what, struct error *err);

#endif
