/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "master/crew.h"
#include "master/notify.h"

/* More than the second between two pleas. */
#define EXTEND_USEC 5000000

struct numbers {
	unsigned services, workers, busy;
	uint64_t accepted;
	long queued;
	bool degraded;
};

static void count_workers(const struct crew *crew, struct numbers *n)
{
	for (size_t i = 0; i < crew->worker_count; i++) {
		const struct board *board = &crew->master->board;

		n->workers++;
		n->busy += board_slot_state(board, crew->workers[i]->slot) == SLOT_BUSY;
		n->accepted += board_slot_accepted(board, crew->workers[i]->slot);
	}
}

static struct numbers collect(const struct master *m)
{
	struct numbers n = {0};

	for (size_t i = 0; i < m->crew_count; i++) {
		const struct crew *crew = m->crews[i];
		int queue = crew->state == CREW_LEAVING ? 0 : listener_queue(crew->listener);

		n.services += crew->state == CREW_SERVING &&
			      (i == 0 || m->crews[i - 1]->service != crew->service);
		n.queued += queue > 0 ? queue : 0;
		n.degraded = n.degraded || crew_is_degraded(crew);
		count_workers(crew, &n);
	}
	n.accepted += board_accepted_by_the_gone(&m->board);
	return n;
}

static void format_status(struct master *m, char *text, size_t room)
{
	struct numbers n = collect(m);
	uint64_t now = master_now(), rate = 0;

	/* A look back of less than half a second is no rate. */
	if (m->status_usec && now - m->status_usec > 500000 && n.accepted >= m->status_accepted)
		rate = (n.accepted - m->status_accepted) * 1000000 / (now - m->status_usec);
	m->status_accepted = n.accepted;
	m->status_usec = now;
	snprintf(text, room, "%s%s%u service%s, %u/%u busy, %" PRIu64 " connections/s, %ld queued",
		 m->stopping ? "stopping: " : "", n.degraded ? "degraded: " : "", n.services,
		 n.services == 1 ? "" : "s", n.busy, n.workers, rate, n.queued);
}

void notify_ready(struct master *m)
{
	format_status(m, m->status, sizeof(m->status));
	sd_notifyf(0, "READY=1\nSTATUS=%s", m->status);
}

void notify_reloading(struct master *m)
{
	(void)m;
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=reloading", master_now());
}

void notify_stopping(struct master *m)
{
	(void)m;
	sd_notify(0, "STOPPING=1\nSTATUS=stopping: connections finish");
}

void notify_status(struct master *m)
{
	char text[sizeof(m->status)];

	if (m->stopping)
		sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%d", EXTEND_USEC);
	format_status(m, text, sizeof(text));
	if (strcmp(text, m->status) == 0)
		return;
	memcpy(m->status, text, sizeof(text));
	sd_notifyf(0, "STATUS=%s", text);
}
