/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "base/log.h"
#include "base/mem.h"
#include "master/intent.h"

#define DESTINATION "org.freedesktop.systemd1"
#define MANAGER     "/org/freedesktop/systemd1"
/* The drain waits for it: a manager that is busy gets no more. */
#define PATIENCE_USEC 250000

struct question {
	struct master *master;
	intent_answer *answer;
	unsigned stored; /* descriptors that the manager should keep */
	char *unit;      /* its object */
	sd_event_source *timeout;
	sd_bus *bus;
	bool user;   /* it goes to a user's manager */
	bool direct; /* asked at the manager's own socket, not yet through the bus daemon */
};

static void ask(struct question *q);

/* ---- the end ---- */

static void question_free(struct question *q)
{
	/* Without a flush, which would wait. */
	sd_bus_close_unref(q->bus);
	sd_event_source_disable_unref(q->timeout);
	free(q->unit);
	free(q);
}

void intent_close(struct master *m)
{
	if (m->question)
		question_free(m->question);
	m->question = NULL;
}

static void conclude(struct question *q, enum intent intent)
{
	struct master *m = q->master;
	intent_answer *answer = q->answer;

	intent_close(m);
	answer(m, intent);
}

static void give_up(struct question *q, const char *what, int r)
{
	log_debug("the manager was not asked for its job: %s: %s", what, strerror(-r));
	/* Not everybody may talk to the manager itself. */
	if (q->direct) {
		q->direct = false;
		ask(q);
		return;
	}
	conclude(q, INTENT_UNKNOWN);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	conclude(userdata, INTENT_UNKNOWN);
	return 0;
}

/* ---- the answers ---- */

static enum intent intent_of(const char *type)
{
	if (strcmp(type, "restart") == 0 || strcmp(type, "try-restart") == 0)
		return INTENT_RESTART;
	return strcmp(type, "stop") == 0 ? INTENT_STOP : INTENT_UNKNOWN;
}

static int failure_of(sd_bus_message *reply)
{
	return sd_bus_message_is_method_error(reply, NULL) ? -sd_bus_message_get_errno(reply) : 0;
}

static int get(struct question *q, const char *path, const char *interface, const char *property,
	       sd_bus_message_handler_t handler)
{
	return sd_bus_call_method_async(q->bus, NULL, DESTINATION, path,
					"org.freedesktop.DBus.Properties", "Get", handler, q, "ss",
					interface, property);
}

static int on_kept(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct question *q = userdata;
	uint32_t kept = 0;
	int r = failure_of(reply);

	(void)error;
	if (r >= 0)
		r = sd_bus_message_read(reply, "v", "u", &kept);
	if (r < 0)
		give_up(q, "NFileDescriptorStore", r);
	else
		conclude(q, kept < q->stored ? INTENT_STOP : INTENT_RESTART);
	return 0;
}

static int on_type(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct question *q = userdata;
	const char *type = NULL;
	int r = failure_of(reply);

	(void)error;
	if (r >= 0)
		r = sd_bus_message_read(reply, "v", "s", &type);
	if (r >= 0 && intent_of(type) != INTENT_RESTART) {
		conclude(q, intent_of(type));
		return 0;
	}
	if (r >= 0)
		r = get(q, q->unit, DESTINATION ".Service", "NFileDescriptorStore", on_kept);
	if (r < 0)
		give_up(q, "JobType", r);
	return 0;
}

static int on_job(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct question *q = userdata;
	const char *path = NULL;
	uint32_t id = 0;
	int r = failure_of(reply);

	(void)error;
	if (r >= 0)
		r = sd_bus_message_read(reply, "v", "(uo)", &id, &path);
	if (r >= 0 && id == 0) {
		conclude(q, INTENT_UNKNOWN);
		return 0;
	}
	if (r >= 0)
		r = get(q, path, DESTINATION ".Job", "JobType", on_type);
	if (r < 0)
		give_up(q, "Job", r);
	return 0;
}

static int on_unit(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct question *q = userdata;
	const char *path = NULL;
	int r = failure_of(reply);

	(void)error;
	if (r >= 0)
		r = sd_bus_message_read(reply, "o", &path);
	if (r >= 0) {
		free(q->unit);
		q->unit = mem_text(path);
		r = get(q, q->unit, DESTINATION ".Unit", "Job", on_job);
	}
	if (r < 0)
		give_up(q, "GetUnitByPID", r);
	return 0;
}

/* ---- the question ---- */

/* The manager's own socket needs no bus daemon. */
static int open_direct(struct question *q)
{
	const char *runtime = q->user ? getenv("XDG_RUNTIME_DIR") : "/run";
	char address[256];
	int r;

	/* What an address would have to escape is in no such path. */
	if (!runtime || strpbrk(runtime, "%,;:= ") ||
	    snprintf(address, sizeof(address), "unix:path=%s/systemd/private", runtime) >=
		    (int)sizeof(address))
		return -ENOENT;
	r = sd_bus_new(&q->bus);
	if (r >= 0)
		r = sd_bus_set_address(q->bus, address);
	return r < 0 ? r : sd_bus_start(q->bus);
}

static int open_bus(struct question *q)
{
	q->bus = sd_bus_close_unref(q->bus);
	if (q->direct)
		return open_direct(q);
	return q->user ? sd_bus_open_user(&q->bus) : sd_bus_open_system(&q->bus);
}

static void ask(struct question *q)
{
	int r = open_bus(q);

	if (r >= 0)
		r = sd_bus_attach_event(q->bus, q->master->event, SD_EVENT_PRIORITY_NORMAL);
	if (r >= 0)
		/* 0 is who asks. Our own look into the control groups would need /proc/1, which
		 * ProtectProc= hides. */
		r = sd_bus_call_method_async(q->bus, NULL, DESTINATION, MANAGER,
					     DESTINATION ".Manager", "GetUnitByPID", on_unit, q,
					     "u", 0);
	if (r < 0)
		give_up(q, "connection", r);
}

/* By its socket: the notifications of a user's manager go to where the user's files are. */
static bool manager_is_a_users(const char *notify_socket)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	size_t length = runtime ? strlen(runtime) : 0;

	return length && strncmp(notify_socket, runtime, length) == 0 &&
	       notify_socket[length] == '/';
}

void intent_ask(struct master *m, unsigned stored, intent_answer *answer)
{
	const char *notify_socket = getenv("NOTIFY_SOCKET");
	struct question *q;
	int r;

	if (!notify_socket) {
		answer(m, INTENT_UNKNOWN);
		return;
	}
	q = m->question = mem_new(1, sizeof(*q));
	*q = (struct question){.master = m,
			       .answer = answer,
			       .stored = stored,
			       .user = manager_is_a_users(notify_socket),
			       .direct = true};
	r = sd_event_add_time_relative(m->event, &q->timeout, CLOCK_MONOTONIC, PATIENCE_USEC, 1,
				       on_timeout, q);
	if (r < 0)
		conclude(q, INTENT_UNKNOWN);
	else
		ask(q);
}
