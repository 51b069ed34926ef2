/* SPDX-License-Identifier: ISC */
#include <config.h>

#include "master/queue_watch.h"
#include "master/unix_queue.h"
#include "worker/sources.h"

/* Of queue_timeout, from one look to the next. */
#define LOOKS      4
#define LEAST_USEC UINT64_C(10000)
#define MOST_USEC  UINT64_C(60000000)

static uint64_t interval_of(const struct crew *crew)
{
	uint64_t interval = crew->service->queue_timeout / LOOKS;

	return interval < LEAST_USEC ? LEAST_USEC : interval > MOST_USEC ? MOST_USEC : interval;
}

static int on_look(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct crew *crew = userdata;
	struct sources *sources = crew->admission.rules.sources;
	uint64_t accepted = sources_accepted(sources, (uint32_t)crew->board);
	int waiting = listener_is_empty(crew->listeners[0])
			      ? 0
			      : unix_queue(crew->listeners[0]->fd, NULL);

	(void)usec;
	if (waiting >= 0)
		sources_note_queue(sources, (uint32_t)crew->board, accepted, (unsigned)waiting,
				   master_now());
	sd_event_source_set_time_relative(source, interval_of(crew));
	return 0;
}

int queue_watch_start(struct crew *crew)
{
	const struct listener *l = crew->listeners[0];
	uint64_t interval = interval_of(crew);
	int r;

	if (crew->admission.everybody || crew->service->queue_timeout == 0 ||
	    l->endpoint.addr.any.sa_family != AF_UNIX || l->endpoint.type == SOCK_DGRAM)
		return 0;
	r = sd_event_add_time_relative(crew->master->event, &crew->queue_watch, CLOCK_MONOTONIC, 0,
				       interval / 8, on_look, crew);
	return r < 0 ? r : sd_event_source_set_enabled(crew->queue_watch, SD_EVENT_ON);
}

void queue_watch_stop(struct crew *crew)
{
	crew->queue_watch = sd_event_source_disable_unref(crew->queue_watch);
}
