/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/parse.h"
#include "master/crew.h"
#include "master/idle.h"

/* When something else is under way. */
#define LATER_USEC UINT64_C(100000)

/* When a client was last there, as far as the workers say. */
static uint64_t last_client(const struct crew *crew, uint64_t now)
{
	const struct board *board = &crew->master->board;
	uint64_t last = 0;

	for (size_t i = 0; crew->state == CREW_SERVING && i < crew->listener_count; i++)
		if (!listener_is_empty(crew->listeners[i]))
			return now;
	for (size_t i = 0; i < crew->worker_count; i++) {
		uint64_t since = board_slot_since(board, crew->workers[i]->slot);

		if (board_slot_state(board, crew->workers[i]->slot) == SLOT_BUSY)
			return now;
		if (since <= now && since > last)
			last = since;
	}
	return last;
}

static int on_idle(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct master *m = userdata;
	uint64_t now = master_now(), last = m->last_client, due;
	char text[PARSE_TEXT_MAX];

	(void)usec;
	if (m->stopping || m->exit_idle == 0)
		return 0;
	for (size_t i = 0; i < m->crew_count; i++) {
		uint64_t at = last_client(m->crews[i], now);

		last = at > last ? at : last;
	}
	due = last + m->exit_idle;
	if (due <= now && (m->transaction || m->upgrade || m->recycling))
		due = now + LATER_USEC;
	if (due <= now) {
		log_info("no client for %s", format_duration(text, m->exit_idle));
		master_stop(m, "exit_idle");
		return 0;
	}
	sd_event_source_set_time(source, due);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

void idle_rearm(struct master *m)
{
	if (m->exit_idle == 0)
		return;
	if (!m->idle_timer &&
	    sd_event_add_time(m->event, &m->idle_timer, CLOCK_MONOTONIC, 0, 1000, on_idle, m) < 0)
		return;
	sd_event_source_set_time(m->idle_timer, master_now() + m->exit_idle);
	sd_event_source_set_enabled(m->idle_timer, SD_EVENT_ONESHOT);
}
