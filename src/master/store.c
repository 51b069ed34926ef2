/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "master/crew.h"
#include "master/notify.h"
#include "master/passed.h"
#include "master/store.h"

static void keep(struct master *m, const struct service_config *service, struct listener *l)
{
	char name[PASSED_NAME_MAX];

	passed_store_name(service->name, l->configured, name);
	if (l->passed || (l->stored && strcmp(l->stored, name) == 0))
		return;
	/* A second name for a descriptor would be ignored. */
	store_drop(m, l);
	l->stored = mem_text(name);
	notify_store(m, name, l->fd);
}

void store_sync(struct master *m)
{
	if (!m->notify)
		return;
	for (size_t i = 0; i < m->crew_count; i++) {
		const struct crew *crew = m->crews[i];

		for (size_t l = 0; crew->state == CREW_SERVING && l < crew->listener_count; l++)
			keep(m, crew->service, crew->listeners[l]);
	}
}

void store_again(struct master *m)
{
	for (size_t i = 0; i < m->crew_count; i++) {
		const struct crew *crew = m->crews[i];

		for (size_t l = 0; l < crew->listener_count; l++) {
			free(crew->listeners[l]->stored);
			crew->listeners[l]->stored = NULL;
		}
	}
}

void store_drop(struct master *m, struct listener *l)
{
	if (!l->stored)
		return;
	notify_unstore(m, l->stored);
	free(l->stored);
	l->stored = NULL;
}

/* Its path goes with it. */
static void drop_unclaimed(struct master *m, struct passed_socket *p)
{
	struct listener *l = listener_adopt(&p->bound, p->fd, false, NULL);

	log_event(LOG_LEVEL_NOTICE, MESSAGE_store_dropped, NULL,
		  "%s: kept across the restart, but no service listens there any more; closed",
		  p->wrong ? p->name : l->address);
	notify_unstore(m, p->name);
	if (!p->wrong)
		listener_find_path(l);
	listener_release(l);
	p->fd = -1;
}

unsigned store_drop_unclaimed(struct master *m)
{
	unsigned dropped = 0;

	for (size_t i = m->passed.count; i-- > 0;) {
		struct passed_socket *p = &m->passed.items[i];

		/* -1: a listener has it, or it is gone. */
		if (!p->stored || p->wanted || p->fd < 0)
			continue;
		drop_unclaimed(m, p);
		dropped++;
	}
	return dropped;
}
