/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>

#include "base/log.h"
#include "base/mem.h"
#include "master/copy.h"
#include "master/crew.h"
#include "master/notify.h"
#include "master/outbox.h"

/* More than the second between two pleas. */
#define EXTEND_USEC 5000000
/* The last words of a process: a manager that lives reads them in less. */
#define LAST_USEC 100000

struct notify {
	struct outbox *outbox;
	sd_event_source *watchdog;
	uint64_t watchdog_usec; /* from one ping to the next */
};

/* ---- open and close ---- */

static int on_watchdog(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct notify *notify = userdata;

	(void)usec;
	outbox_send(notify->outbox, OUTBOX_WATCHDOG, "WATCHDOG=1", -1);
	sd_event_source_set_time_relative(source, notify->watchdog_usec);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

/* From the loop and as one of many: a loop that is stuck pings no more. */
static int start_watchdog(struct master *m)
{
	struct notify *notify = m->notify;
	uint64_t usec;

	/* Without a loop these are the last words of a start that fails. */
	if (!m->event || sd_watchdog_enabled(0, &usec) <= 0)
		return 0;
	notify->watchdog_usec = usec / 4;
	return sd_event_add_time_relative(m->event, &notify->watchdog, CLOCK_MONOTONIC, 0,
					  notify->watchdog_usec, on_watchdog, notify);
}

int notify_open(struct master *m)
{
	const char *address = getenv("NOTIFY_SOCKET");
	struct outbox *outbox;
	int r;

	if (!address || !*address)
		return 0;
	r = outbox_open(&outbox, address, m->event);
	if (r < 0) {
		log_warning("NOTIFY_SOCKET=%s: %s: the service manager is told nothing", address,
			    strerror(-r));
		return 0;
	}
	m->notify = mem_new(1, sizeof(*m->notify));
	m->notify->outbox = outbox;
	r = start_watchdog(m);
	if (r < 0)
		notify_close(m);
	return r;
}

void notify_close(struct master *m)
{
	if (!m->notify)
		return;
	notify_flush(m, LAST_USEC);
	outbox_free(m->notify->outbox);
	sd_event_source_disable_unref(m->notify->watchdog);
	free(m->notify);
	m->notify = NULL;
}

bool notify_flush(struct master *m, uint64_t usec)
{
	return !m->notify || outbox_flush(m->notify->outbox, usec);
}

/* ---- the numbers ---- */

struct numbers {
	unsigned services, workers, busy, copies;
	uint64_t accepted;
	long queued;
	bool degraded;
};

static void count_workers(const struct crew *crew, struct numbers *n)
{
	if (crew_is_acceptor(crew)) {
		n->copies += (unsigned)crew->worker_count;
		return;
	}
	for (size_t i = 0; i < crew->worker_count; i++) {
		const struct board *board = &crew->master->board;

		n->workers++;
		n->busy += board_slot_state(board, crew->workers[i]->slot) == SLOT_BUSY;
		n->accepted += board_slot_accepted(board, crew->workers[i]->slot);
	}
}

/* By name: a pool that a reload kept is of an earlier configuration than one that it added. */
static bool same_service(const struct crew *a, const struct crew *b)
{
	return strcmp(a->service->name, b->service->name) == 0;
}

static long count_queued(const struct crew *crew)
{
	long count = 0;

	for (size_t i = 0; crew->state != CREW_LEAVING && i < crew->listener_count; i++) {
		int queue = listener_queue(crew->listeners[i]);

		count += queue > 0 ? queue : 0;
	}
	return count;
}

static struct numbers collect(const struct master *m)
{
	struct numbers n = {0};

	for (size_t i = 0; i < m->crew_count; i++) {
		const struct crew *crew = m->crews[i];

		n.services += crew->state == CREW_SERVING &&
			      (i == 0 || !same_service(crew, m->crews[i - 1]));
		n.queued += count_queued(crew);
		n.degraded = n.degraded || crew_is_degraded(crew);
		count_workers(crew, &n);
	}
	n.accepted += board_accepted_by_the_gone(&m->board);
	return n;
}

/* What copies that accept for themselves do is not known. */
static void format_workers(const struct numbers *n, uint64_t rate, char *text, size_t room)
{
	int used = 0;

	text[0] = '\0';
	if (n->copies > 0)
		used = snprintf(text, room, ", %u cop%s running", n->copies,
				n->copies == 1 ? "y" : "ies");
	if (n->workers > 0 || n->copies == 0)
		snprintf(text + used, room - (size_t)used,
			 ", %u/%u busy, %" PRIu64 " connections/s", n->busy, n->workers, rate);
}

static void format_status(struct master *m, char *text, size_t room)
{
	char workers[160];
	struct numbers n = collect(m);
	uint64_t now = master_now(), rate = 0;

	/* A look back of less than half a second is no rate. */
	if (m->status_usec && now - m->status_usec > 500000 && n.accepted >= m->status_accepted)
		rate = (n.accepted - m->status_accepted) * 1000000 / (now - m->status_usec);
	m->status_accepted = n.accepted;
	m->status_usec = now;
	format_workers(&n, rate, workers, sizeof(workers));
	snprintf(text, room, "%s%s%u service%s%s, %ld queued", m->stopping ? "stopping: " : "",
		 n.degraded ? "degraded: " : "", n.services, n.services == 1 ? "" : "s", workers,
		 n.queued);
}

/* ---- what is said ---- */

static void say(struct master *m, enum outbox_kind kind, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void say(struct master *m, enum outbox_kind kind, const char *format, ...)
{
	char text[1024];
	va_list args;

	if (!m->notify)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	outbox_send(m->notify->outbox, kind, text, -1);
}

void notify_ready(struct master *m)
{
	if (!m->notify)
		return;
	format_status(m, m->status, sizeof(m->status));
	say(m, OUTBOX_ORDERED, "READY=1\nSTATUS=%s", m->status);
}

void notify_reloading(struct master *m)
{
	say(m, OUTBOX_ORDERED, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=reloading",
	    master_now());
}

void notify_stopping(struct master *m)
{
	say(m, OUTBOX_ORDERED, "STOPPING=1\nSTATUS=stopping: connections finish");
}

void notify_status(struct master *m)
{
	char text[sizeof(m->status)];

	if (!m->notify)
		return;
	/* start_timeout and stop_timeout are the limits, not those of the unit. */
	if (m->stopping || m->transaction)
		say(m, OUTBOX_EXTEND, "EXTEND_TIMEOUT_USEC=%d", EXTEND_USEC);
	format_status(m, text, sizeof(text));
	if (strcmp(text, m->status) == 0)
		return;
	memcpy(m->status, text, sizeof(text));
	say(m, OUTBOX_STATUS, "STATUS=%s", text);
}

/* What `systemctl status` shows as Error: none where no errno would be true of all its cases. */
static int errno_of(int code)
{
	switch (code) {
	case EX_CONFIG:
	case EX_USAGE:
		return EINVAL;
	case EX_NOPERM:
		return EPERM;
	default:
		return 0;
	}
}

void notify_failed(struct master *m, int code, const char *text)
{
	bool early = !m->notify;
	char line[512];
	size_t length = strcspn(text, "\n");

	if (early && notify_open(m) < 0)
		return;
	log_escape(line, sizeof(line), text, length);
	if (errno_of(code))
		say(m, OUTBOX_ORDERED, "STATUS=%s\nERRNO=%d", line, errno_of(code));
	else
		say(m, OUTBOX_ORDERED, "STATUS=%s", line);
	if (early)
		notify_close(m);
}

/* ---- the store ---- */

/* FDPOLL: a listener's hang-up is no reason to drop it. */
static void format_store(char *text, size_t room, const char *name)
{
	snprintf(text, room, "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
}

void notify_store(struct master *m, const char *name, int fd)
{
	char text[512];
	int r;

	if (!m->notify)
		return;
	format_store(text, sizeof(text), name);
	r = outbox_send(m->notify->outbox, OUTBOX_ORDERED, text, fd);
	if (r < 0)
		log_error("store %s: %s: it does not outlast this process", name, strerror(-r));
}

void notify_unstore(struct master *m, const char *name)
{
	char text[512];

	if (!m->notify)
		return;
	/* A copy that waits would keep a listener open that nobody serves. */
	format_store(text, sizeof(text), name);
	outbox_withdraw(m->notify->outbox, text);
	say(m, OUTBOX_ORDERED, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}
