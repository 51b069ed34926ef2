/* SPDX-License-Identifier: ISC */
/* The pools of a new generation: what the plan keeps, and what it has to make. */
#include <config.h>

#include <stdlib.h>

#include "base/mem.h"
#include "master/transaction.h"

/* Those that serve, and those that were dropped while their listener is still there. */
static bool can_be_taken_from(const struct crew *crew)
{
	return crew->state == CREW_SERVING || crew->state == CREW_DRAINING ||
	       (crew->state == CREW_LEAVING && crew->listener->draining &&
		crew->listener->users == 1);
}

/* A pool that drains has no name any more: nothing keeps it, but its listener can be taken over. */
static struct reload_pool describe_old(const struct crew *crew)
{
	bool serving = crew->state == CREW_SERVING;

	return (struct reload_pool){
		.service = serving ? crew->service->name : "",
		.address = crew->listener->configured,
		.fingerprint = crew->fingerprint,
		.fixed_port = listener_port_is_fixed(crew->listener) &&
			      (serving || listener_can_reopen(crew->listener)),
	};
}

static size_t collect_old(struct master *m, struct transaction *t, struct reload_pool *old)
{
	size_t n = 0;

	t->old = mem_new(m->crew_count, sizeof(struct crew *));
	for (size_t i = 0; i < m->crew_count; i++) {
		struct crew *crew = m->crews[i];

		if (!can_be_taken_from(crew))
			continue;
		old[n] = describe_old(crew);
		t->old[n++] = crew;
	}
	t->old_count = n;
	t->fates = mem_new(n, sizeof(*t->fates));
	return n;
}

/* A new pool, as the plan sees it and with what is needed to make it. */
struct fresh {
	const struct service_config *service;
	const struct endpoint *endpoint;
	char address[ADDRESS_TEXT_MAX];
	char *fingerprint;
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
				list[*count] = (struct fresh){service, &on->endpoints[e], "",
							      config_fingerprint(service)};
				endpoint_format(&on->endpoints[e], list[*count].address);
				++*count;
			}
		}
	}
	return list;
}

static struct listener *listener_for(const struct transaction *t, const struct fresh *fresh,
				     const struct reload_step *step, struct error *err)
{
	struct listener *listener;

	if (step->action == RELOAD_ADD)
		return listener_bind(fresh->endpoint, fresh->service, err);
	listener = t->old[step->old]->listener;
	listener->users++;
	return listener;
}

static int make_crew(struct master *m, struct transaction *t, const struct fresh *fresh,
		     const struct reload_step *step, struct error *err)
{
	struct error why = {0};
	struct listener *listener;
	struct crew *crew;

	t->actions[step->action]++;
	if (step->action == RELOAD_KEEP) {
		t->crews[t->crew_count++] = t->old[step->old];
		return 0;
	}
	listener = listener_for(t, fresh, step, &why);
	if (!listener)
		return error_set(err, why.code, "%s: %s", config_place(fresh->service, "listen"),
				 why.text);
	crew = crew_new(m, t->held, fresh->service, listener, &why);
	if (!crew)
		return error_set(err, why.code, "%s: %s",
				 config_place(fresh->service,
					      *fresh->service->builtin ? "builtin" : "module"),
				 why.text);
	crew->generation = m->generation + 1;
	crew->gate = t->gate[0];
	crew->report = t->report[1];
	t->crews[t->crew_count++] = crew;
	return 0;
}

int assemble(struct master *m, struct transaction *t, struct error *err)
{
	size_t count, old_count;
	struct fresh *fresh = collect_fresh(t->held->config, &count);
	struct reload_pool *old = mem_new(m->crew_count, sizeof(*old));
	struct reload_pool *pools = mem_new(count, sizeof(*pools));
	struct reload_step *steps = mem_new(count, sizeof(*steps));
	int status = 0;

	for (size_t i = 0; i < count; i++)
		pools[i] = (struct reload_pool){fresh[i].service->name, fresh[i].address,
						fresh[i].fingerprint, false};
	old_count = collect_old(m, t, old);
	reload_plan(old, old_count, pools, count, steps, t->fates);
	t->crews = mem_new(count, sizeof(struct crew *));
	for (size_t i = 0; i < count && status == 0; i++)
		status = make_crew(m, t, &fresh[i], &steps[i], err);
	for (size_t i = 0; i < count; i++)
		free(fresh[i].fingerprint);
	free(fresh);
	free(old);
	free(pools);
	free(steps);
	return status;
}
