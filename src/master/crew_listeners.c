/* SPDX-License-Identifier: ISC */
/* The listeners of a pool: one, or all of a service whose copies accept for themselves. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "master/copy.h"
#include "master/crew.h"
#include "master/transaction.h"

/* The name in LISTEN_FDNAMES: of a .socket unit's the unit's, else the service's. */
static const char *name_of(const struct service_config *s, const struct listen_on *on)
{
	return on->address.kind == ADDRESS_SYSTEMD ? on->address.host : s->name;
}

char *crew_fingerprint(const struct service_config *s)
{
	char *text = config_fingerprint(s), *more, address[ADDRESS_TEXT_MAX];

	for (size_t l = 0; s->kind == HANDLER_ACCEPTOR && l < s->listen.count; l++) {
		const struct listen_on *on = &s->addresses[l];

		for (size_t e = 0; e < on->endpoint_count; e++) {
			more = mem_format("%s%s %s\n", text, name_of(s, on),
					  endpoint_format(&on->endpoints[e], address));
			free(text);
			text = more;
		}
	}
	return text;
}

char *crew_socket_names(const struct service_config *s)
{
	char *text = mem_text(""), *more;

	for (size_t l = 0; l < s->listen.count; l++)
		for (size_t e = 0; e < s->addresses[l].endpoint_count; e++) {
			more = mem_format("%s%s%s", text, *text ? ":" : "",
					  name_of(s, &s->addresses[l]));
			free(text);
			text = more;
		}
	return text;
}

/* ---- taking and giving back ---- */

static void compose_address(struct crew *crew)
{
	size_t used = 0, room = sizeof(crew->address);

	for (size_t i = 0; i < crew->listener_count && used < room; i++)
		used += (size_t)snprintf(crew->address + used, room - used, "%s%s", i ? " " : "",
					 crew->listeners[i]->address);
	if (used >= room)
		memcpy(crew->address + room - sizeof("..."), "...", sizeof("..."));
}

/* Rules and limits may have to wait for a client. */
bool crew_takes_turns(const struct crew *crew)
{
	const struct preforkd_handler *handler = crew->handler.handler;
	bool datagrams = crew->listeners[0]->endpoint.type == SOCK_DGRAM;
	uint32_t flag = datagrams ? PREFORKD_PROMPT_ANSWER : PREFORKD_PROMPT;

	return handler && (handler->flags & flag) && crew->admission.everybody;
}

/*
 * Whether the socket blocks is seen by all who share it. Workers that serve connections themselves
 * want it not to (worker/ready.h), unless they take turns; those of programs wait in accept(). What
 * copies of a program have made of it stays until the last of them has gone, which may rely on it.
 */
static bool wants_blocking(const struct crew *crew, const struct listener *l)
{
	return l->endpoint.type == SOCK_DGRAM || crew->service->kind == HANDLER_EXEC ||
	       crew_is_acceptor(crew) || crew_takes_turns(crew);
}

/* The last of these pools, which is the newest, that has it; one with copies of a program goes
 * before all others. What serves the clients of one that was adopted is not known. */
static const struct crew *find_holder(struct crew *const *crews, size_t count,
				      const struct crew *but, const struct listener *l,
				      const struct crew *found)
{
	for (size_t i = 0; i < count; i++)
		if (crews[i] && crews[i] != but && crew_holds(crews[i], l) &&
		    (!crews[i]->adopted || crew_is_acceptor(crews[i])) &&
		    !(found && crew_is_acceptor(found)))
			found = crews[i];
	return found;
}

static const struct crew *find_other(const struct crew *crew, const struct listener *l)
{
	const struct master *m = crew->master;
	const struct transaction *t = m->transaction;
	const struct crew *found = find_holder(m->crews, m->crew_count, crew, l, NULL);

	return t && t->crews ? find_holder(t->crews, t->crew_count, crew, l, found) : found;
}

void crew_take_listeners(struct crew *crew, struct listener **listeners, size_t count)
{
	crew->listeners = listeners;
	crew->listener_count = count;
	compose_address(crew);
}

static int open_listener(const struct crew *crew, struct listener *l, struct error *err)
{
	const struct crew *other = find_other(crew, l);
	bool blocking = wants_blocking(crew, l);

	if (!other || !crew_is_acceptor(other))
		listener_set_blocking(l, blocking);
	if (crew_takes_turns(crew))
		return listener_open_turns(l, err);
	return blocking ? 0 : listener_open_ready(l, err);
}

int crew_open_listeners(struct crew *crew, struct error *err)
{
	for (size_t i = 0; i < crew->listener_count; i++)
		if (open_listener(crew, crew->listeners[i], err) < 0)
			return -1;
	return 0;
}

static void leave_blocking(const struct crew *crew, const struct listener *l)
{
	const struct crew *other = l->users < 2 ? NULL : find_other(crew, l);

	if (other && !crew_is_acceptor(other))
		listener_set_blocking(l, wants_blocking(other, l));
}

void crew_release_listeners(struct crew *crew)
{
	for (size_t i = 0; i < crew->listener_count; i++) {
		leave_blocking(crew, crew->listeners[i]);
		listener_release(crew->listeners[i]);
	}
	free(crew->listeners);
}

/* ---- looking ---- */

bool crew_holds(const struct crew *crew, const struct listener *l)
{
	for (size_t i = 0; i < crew->listener_count; i++)
		if (crew->listeners[i] == l)
			return true;
	return false;
}

size_t crew_count_waiting(const struct crew *crew, bool alone)
{
	size_t count = 0;

	for (size_t i = 0; i < crew->listener_count; i++) {
		const struct listener *l = crew->listeners[i];

		if (l->draining && (!alone || l->users == 1))
			count += !listener_is_empty(l);
	}
	return count;
}

void crew_show_queue(struct crew *crew)
{
	uint64_t queued = 0, most = 0;
	int limit = 0;

	for (size_t i = 0; i < crew->listener_count; i++) {
		int queue = listener_read_queue(crew->listeners[i], &limit);

		queued = queue < 0 || queued == UINT64_MAX ? UINT64_MAX : queued + (unsigned)queue;
		most += (unsigned)limit;
	}
	board_pool_set(&crew->master->board, crew->board, POOL_queued, queued);
	board_pool_set(&crew->master->board, crew->board, POOL_queue_limit,
		       queued == UINT64_MAX ? UINT64_MAX : most);
	crew_see_queue(crew,
		       queued == UINT64_MAX ? !listener_is_empty(crew->listeners[0]) : queued > 0);
}

/* ---- closing ---- */

static bool is_kept_by(struct crew *const *crews, size_t count, const struct crew *but,
		       const struct listener *l)
{
	for (size_t i = 0; i < count; i++)
		if (crews[i] != but &&
		    (crews[i]->state == CREW_GATED || crews[i]->state == CREW_SERVING) &&
		    crew_holds(crews[i], l))
			return true;
	return false;
}

static bool another_keeps(const struct crew *crew, const struct listener *l)
{
	const struct master *m = crew->master;
	const struct transaction *t = m->transaction;

	return is_kept_by(m->crews, m->crew_count, crew, l) ||
	       (t && is_kept_by(t->crews, t->crew_count, crew, l));
}

/* What systemd keeps is not closed: who waits there waits for the next process. */
static bool systemd_keeps(const struct crew *crew, const struct listener *l)
{
	return l->passed || (crew->master->restarting && l->stored);
}

size_t crew_close_doors(struct crew *crew)
{
	size_t closed = 0;

	for (size_t i = 0; i < crew->listener_count; i++) {
		struct listener *l = crew->listeners[i];

		if (systemd_keeps(crew, l) || another_keeps(crew, l))
			continue;
		listener_refuse_new(l);
		closed++;
	}
	return closed;
}
