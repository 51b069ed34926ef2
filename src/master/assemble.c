/* SPDX-License-Identifier: ISC */
/* The pools of a new generation: what the plan keeps, and what it has to make. */
#include <config.h>

#include <stdlib.h>
#include <sysexits.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "master/notify.h"
#include "master/passed.h"
#include "master/store.h"
#include "master/transaction.h"

/* Of 10 ms. */
#define GIVE_WAY_TRIES 50

/* Those that serve, and those that were dropped while their listener is still there. */
static bool can_be_taken_from(const struct crew *crew, const struct listener *l)
{
	return crew->state == CREW_SERVING ||
	       ((crew->state == CREW_DRAINING || crew->state == CREW_LEAVING) && l->draining);
}

/* A pool that drains has no name any more: nothing keeps it, but its listener can be taken over. */
static struct reload_pool describe_old(const struct crew *crew, const struct listener *l)
{
	bool serving = crew->state == CREW_SERVING;

	return (struct reload_pool){
		.service = serving ? crew->service->name : "",
		.address = l->configured,
		.fingerprint = crew->fingerprint,
		.fixed_port = listener_port_is_fixed(l) && (serving || listener_can_reopen(l)),
	};
}

/* Generations that leave may share a listener: the youngest comes first, and stands for all. */
static bool is_collected(const struct transaction *t, const struct listener *l)
{
	for (size_t i = 0; i < t->old_count; i++)
		if (t->old[i].listener == l && l->draining)
			return true;
	return false;
}

static void collect_from(struct transaction *t, struct crew *crew, struct reload_pool *old)
{
	for (size_t i = 0; i < crew->listener_count; i++) {
		struct listener *l = crew->listeners[i];

		if (!can_be_taken_from(crew, l) || is_collected(t, l))
			continue;
		old[t->old_count] = describe_old(crew, l);
		t->old[t->old_count++] = (struct compared){crew, l};
	}
}

/* Every listener there is, as the plan sees them. Allocated. */
static struct reload_pool *collect_old(struct master *m, struct transaction *t)
{
	struct reload_pool *old;
	size_t most = 0;

	for (size_t i = 0; i < m->crew_count; i++)
		most += m->crews[i]->listener_count;
	old = mem_new(most, sizeof(*old));
	t->old = mem_new(most, sizeof(*t->old));
	for (size_t i = 0; i < m->crew_count; i++)
		collect_from(t, m->crews[i], old);
	t->fates = mem_new(t->old_count, sizeof(*t->fates));
	return old;
}

/* A new listener, as the plan sees it and with what is needed to make it. */
struct fresh {
	const struct service_config *service;
	const struct endpoint *endpoint;
	char address[ADDRESS_TEXT_MAX];
	char *fingerprint;
	size_t passed; /* the socket that it was started with, or PASSED_NONE */
};

static struct fresh *collect_fresh(const struct config *config, size_t *count)
{
	struct fresh *list = NULL;

	*count = 0;
	for (size_t s = 0; s < config->service_count; s++) {
		const struct service_config *service = &config->services[s];

		for (size_t l = 0; l < service->listen.count; l++) {
			const struct listen_on *on = &service->addresses[l];

			for (size_t e = 0; e < on->endpoint_count; e++) {
				list = mem_grow(list, *count + 1, sizeof(*list));
				list[*count] =
					(struct fresh){service, &on->endpoints[e], "",
						       crew_fingerprint(service), PASSED_NONE};
				endpoint_format(&on->endpoints[e], list[*count].address);
				++*count;
			}
		}
	}
	return list;
}

/* ---- sockets that we were started with ---- */

static void match_passed(struct master *m, struct fresh *fresh, size_t count)
{
	struct passed_wish *wishes = mem_new(count, sizeof(*wishes));
	size_t *match = mem_new(count, sizeof(*match));

	for (size_t i = 0; i < count; i++)
		wishes[i] = (struct passed_wish){fresh[i].service->name, fresh[i].endpoint};
	passed_match(&m->passed, wishes, count, match);
	for (size_t i = 0; i < count; i++) {
		fresh[i].passed = match[i];
		if (match[i] != PASSED_NONE)
			m->passed.items[match[i]].wanted = true;
	}
	free(wishes);
	free(match);
}

static bool is_claimed(size_t index, const struct fresh *fresh, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (fresh[i].passed == index)
			return true;
	return false;
}

/* systemd goes on listening for a socket of its own, so that its clients would wait for nobody. */
static int check_unclaimed(const struct master *m, const struct fresh *fresh, size_t count,
			   struct error *err)
{
	char address[ADDRESS_TEXT_MAX];

	for (size_t i = 0; i < m->passed.count; i++) {
		const struct passed_socket *p = &m->passed.items[i];

		if (p->stored || is_claimed(i, fresh, count))
			continue;
		if (p->wrong)
			return error_set(err, EX_CONFIG, "the socket \"%s\" that systemd passed %s",
					 p->name, p->wrong);
		return error_set(err, EX_CONFIG,
				 "the socket \"%s\" (%s) that systemd passed is claimed by no "
				 "service; write it into a service's listen, or disable its "
				 ".socket unit and restart",
				 p->name, endpoint_format(&p->bound, address));
	}
	return 0;
}

/* What would not be there to start us again must not end with us. */
static int check_exit_idle(const struct master *m, const struct config *config,
			   const struct fresh *fresh, size_t count, struct error *err)
{
	for (size_t i = 0; config->exit_idle && i < count; i++) {
		size_t p = fresh[i].passed;

		if (p == PASSED_NONE || m->passed.items[p].stored)
			return error_set(
				err, EX_CONFIG,
				"%s: service \"%s\" listens on %s itself; only with "
				".socket units for all would a client start preforkd again",
				config_place_of_key(config, "exit_idle"), fresh[i].service->name,
				fresh[i].address);
	}
	return 0;
}

/* One that was kept across a restart, which may have come while it was drained. NULL where it is of
 * no use any more. */
static struct listener *adopt_stored(struct master *m, struct passed_socket *p,
				     const struct fresh *fresh)
{
	struct listener *l = listener_adopt(fresh->endpoint, p->fd, false, p->name);

	p->fd = -1;
	l->draining = listener_is_inet(l);
	if (listener_find_path(l) && listener_can_reopen(l)) {
		listener_reopen(l);
		return l;
	}
	log_warning("%s: kept across the restart, but nobody can come to it any more; bound anew",
		    l->configured);
	store_drop(m, l);
	listener_release(l);
	return NULL;
}

static struct listener *adopt_passed(struct master *m, const struct fresh *fresh)
{
	struct passed_socket *p = &m->passed.items[fresh->passed];

	return p->stored ? adopt_stored(m, p, fresh)
			 : listener_adopt(fresh->endpoint, p->fd, true, NULL);
}

/* What was kept across a restart and nothing claims may be in the way, until the service manager
 * has closed it too. Nobody is served yet that this could hold up. */
static struct listener *bind_new(struct master *m, const struct fresh *fresh, struct error *err)
{
	const struct timespec pause = {.tv_nsec = 10000000};
	struct listener *l = listener_bind(fresh->endpoint, fresh->service, err);
	bool in_the_way = !l && err->code == EX_UNAVAILABLE &&
			  (store_drop_unclaimed(m) > 0 || fresh->passed != PASSED_NONE);

	for (int tries = 0; in_the_way && !l && tries < GIVE_WAY_TRIES; tries++) {
		notify_flush(m, 0);
		nanosleep(&pause, NULL);
		l = listener_bind(fresh->endpoint, fresh->service, err);
	}
	return l;
}

static struct listener *new_listener(struct master *m, const struct fresh *fresh, struct error *err)
{
	struct listener *l = fresh->passed == PASSED_NONE ? NULL : adopt_passed(m, fresh);

	if (!l)
		return bind_new(m, fresh, err);
	if (listener_apply(l, fresh->service, err) == 0)
		return l;
	listener_release(l);
	return NULL;
}

/* ---- pools ---- */

static struct listener *listener_for(struct master *m, const struct transaction *t,
				     const struct fresh *fresh, const struct reload_step *step,
				     struct error *err)
{
	struct listener *listener;

	if (step->action == RELOAD_ADD)
		return new_listener(m, fresh, err);
	listener = t->old[step->old].listener;
	listener->users++;
	return listener;
}

static struct listener **listeners_for(struct master *m, const struct transaction *t,
				       const struct fresh *fresh, const struct reload_step *steps,
				       size_t count, struct error *err)
{
	struct listener **list = mem_new(count, sizeof(struct listener *));
	struct error why = {0};

	for (size_t i = 0; i < count; i++) {
		list[i] = listener_for(m, t, &fresh[i], &steps[i], &why);
		if (list[i])
			continue;
		error_set(err, why.code, "%s: %s", config_place(fresh->service, "listen"),
			  why.text);
		while (i-- > 0)
			listener_release(list[i]);
		free(list);
		return NULL;
	}
	return list;
}

/* A pool's, whose listeners may come from several or be new. A kept one's are all kept, as its
 * fingerprint tells of all. */
static enum reload_action action_of(const struct reload_step *steps, size_t count)
{
	enum reload_action action = RELOAD_ADD;

	for (size_t i = 0; i < count; i++)
		action = steps[i].action < action ? steps[i].action : action;
	return action;
}

/* One pool, of `count` listeners. */
static int make_crew(struct master *m, struct transaction *t, const struct fresh *fresh,
		     const struct reload_step *steps, size_t count, struct error *err)
{
	enum reload_action action = action_of(steps, count);
	struct listener **listeners;
	struct error why = {0};
	struct crew *crew;

	t->actions[action]++;
	t->services[t->crew_count] = fresh->service;
	if (action == RELOAD_KEEP) {
		t->crews[t->crew_count++] = t->old[steps->old].crew;
		return 0;
	}
	listeners = listeners_for(m, t, fresh, steps, count, err);
	if (!listeners)
		return -1;
	crew = crew_new(m, t->held, fresh->service, listeners, count, &why);
	if (!crew)
		return error_set(
			err, why.code, "%s: %s",
			config_place(fresh->service, config_handler_key(fresh->service->kind)),
			why.text);
	crew->generation = m->generation + 1;
	if (action == RELOAD_REPLACE)
		crew_follow_size(crew, t->old[steps->old].crew);
	if (fresh->service->kind != HANDLER_ACCEPTOR) {
		crew->gate = t->gate[0];
		crew->report = t->report[1];
	}
	t->crews[t->crew_count++] = crew;
	return 0;
}

/* Every address has a pool of its own; the copies of an acceptor get all of its service. */
static size_t count_of_pool(const struct fresh *fresh, size_t left)
{
	size_t count = 1;

	while (fresh->service->kind == HANDLER_ACCEPTOR && count < left &&
	       fresh[count].service == fresh->service)
		count++;
	return count;
}

static int make_crews(struct master *m, struct transaction *t, const struct fresh *fresh,
		      const struct reload_step *steps, size_t count, struct error *err)
{
	t->crews = mem_new(count, sizeof(void *));
	t->services = mem_new(count, sizeof(void *));
	for (size_t i = 0, n; i < count; i += n) {
		n = count_of_pool(&fresh[i], count - i);
		if (make_crew(m, t, &fresh[i], &steps[i], n, err) < 0)
			return -1;
	}
	return 0;
}

static void plan(struct master *m, struct transaction *t, const struct fresh *fresh, size_t count,
		 struct reload_step *steps)
{
	struct reload_pool *old = collect_old(m, t);
	struct reload_pool *pools = mem_new(count, sizeof(*pools));

	for (size_t i = 0; i < count; i++)
		pools[i] = (struct reload_pool){fresh[i].service->name, fresh[i].address,
						fresh[i].fingerprint, false};
	reload_plan(old, t->old_count, pools, count, steps, t->fates);
	free(old);
	free(pools);
}

int assemble(struct master *m, struct transaction *t, struct error *err)
{
	size_t count;
	struct fresh *fresh = collect_fresh(t->held->config, &count);
	struct reload_step *steps = mem_new(count, sizeof(*steps));
	int status;

	match_passed(m, fresh, count);
	status = check_unclaimed(m, fresh, count, err);
	if (status < 0)
		err->message = MESSAGE_socket_unclaimed;
	if (status == 0)
		status = check_exit_idle(m, t->held->config, fresh, count, err);
	plan(m, t, fresh, count, steps);
	if (status == 0)
		status = make_crews(m, t, fresh, steps, count, err);
	for (size_t i = 0; i < count; i++)
		free(fresh[i].fingerprint);
	free(fresh);
	free(steps);
	return status;
}
