/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <signal.h>
#include <sys/socket.h>

#include "worker/admit.h"
#include "worker/prestart_session.h"

#define NEVER UINT64_MAX

/* A program whose client is gone has so long to notice by itself. */
#define GRACE_USEC UINT64_C(2000000)
/* The program has ended: a client that takes nothing of what is left for so long is given up. */
#define STALL_USEC UINT64_C(60000000)

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void prestart_look_at_lingering(struct prestart *p)
{
	if (p->lingering.count > 0)
		lingering_look(&p->lingering, loop_now());
}

enum ending { ENDED_ITSELF, ENDED_LATE, ENDED_ON_ORDER, ENDED_WITHOUT_CLIENT };

/* Returns true when the program has ended or is to, and how. */
static bool is_over(enum supervised what, enum ending *ending)
{
	*ending = what == SUPERVISED_ENDED ? ENDED_ITSELF : ENDED_ON_ORDER;
	return what == SUPERVISED_ENDED || what == SUPERVISED_END;
}

/* As supervisor_wait(), beside the clients before. */
static enum supervised wait_on(struct prestart *p, uint64_t deadline)
{
	enum supervised what;

	do {
		what = supervisor_wait(&p->supervisor,
				       sooner(deadline, lingering_due(&p->lingering)));
		prestart_look_at_lingering(p);
	} while (what == SUPERVISED_MORE || (what == SUPERVISED_TIMEOUT && loop_now() < deadline));
	return what;
}

/* As relay_run(), beside them too; what woke it is seen by the next supervisor_wait(). */
static enum relay_event relay_on(struct prestart *p, uint64_t deadline)
{
	enum relay_event event;

	do {
		event = relay_run(&p->relay, sooner(deadline, lingering_due(&p->lingering)));
		prestart_look_at_lingering(p);
	} while (event == RELAY_TIMEOUT && loop_now() < deadline);
	return event;
}

/* Both ways are closed: the program goes on, or is about to end. */
static enum ending outlive(struct prestart *p, uint64_t deadline, enum ending otherwise)
{
	enum supervised what;
	enum ending ending;

	do {
		what = wait_on(p, deadline);
		if (is_over(what, &ending))
			return ending;
	} while (what != SUPERVISED_TIMEOUT);
	return otherwise;
}

/* The client cannot be reached: the program reads an end, and is refused what it writes. */
static enum ending break_off(struct prestart *p, uint64_t deadline)
{
	uint64_t grace = loop_now() + GRACE_USEC;

	shutdown(p->program.near, SHUT_RDWR);
	return outlive(p, sooner(grace, deadline), ENDED_WITHOUT_CLIENT);
}

/* Until the program has ended or is to. */
static enum ending converse(struct prestart *p, uint64_t deadline)
{
	enum ending ending;

	for (;;) {
		switch (relay_on(p, deadline)) {
		case RELAY_CLOSED:
			return outlive(p, deadline, ENDED_LATE);
		case RELAY_BROKEN:
			return break_off(p, deadline);
		case RELAY_TIMEOUT:
			return ENDED_LATE;
		case RELAY_WAKE:
			if (is_over(supervisor_wait(&p->supervisor, 0), &ending))
				return ending;
			break;
		}
	}
}

/* What an ended program had written goes to the client as long as that takes it. Returns why it
 * stopped. */
static enum relay_event deliver_rest(struct prestart *p, uint64_t deadline)
{
	uint64_t delivered = p->relay.out.bytes, stall = loop_now() + STALL_USEC;
	enum relay_event event;

	for (;;) {
		event = relay_on(p, sooner(stall, deadline));
		if (event == RELAY_CLOSED || event == RELAY_BROKEN)
			return event;
		if (event == RELAY_WAKE) {
			if (supervisor_wait(&p->supervisor, 0) == SUPERVISED_END)
				return RELAY_BROKEN;
			continue;
		}
		if (loop_now() >= deadline || p->relay.out.bytes == delivered)
			return RELAY_TIMEOUT;
		delivered = p->relay.out.bytes;
		stall = loop_now() + STALL_USEC;
	}
}

static void tell_late(const struct prestart *p, const struct program_client *c, pid_t pid)
{
	struct log_about about = {
		.counted = true, .bytes_in = p->relay.in.bytes, .bytes_out = p->relay.out.bytes};

	program_client_tell_timeout(c, p->job, pid, &about);
}

/* The program has ended by itself. */
static enum connection_field settle(struct prestart *p, const struct program_client *c,
				    uint64_t deadline)
{
	enum connection_field outcome;
	siginfo_t info;

	/* At once: the client does not wait for what the program left behind. */
	relay_drain(&p->relay);
	relay_run(&p->relay, 0);
	supervisor_end(&p->supervisor, &info);
	outcome = supervisor_outcome(&p->supervisor, &info);
	switch (deliver_rest(p, deadline)) {
	case RELAY_CLOSED:
		return outcome;
	case RELAY_TIMEOUT:
		if (loop_now() >= deadline)
			tell_late(p, c, info.si_pid);
		return CONN_timed_out;
	default:
		return CONN_aborted_error;
	}
}

/* It has to be ended; what it still says then is delivered if the client takes it at once. */
static enum connection_field end_program(struct prestart *p, enum ending ending)
{
	siginfo_t info;

	supervisor_end(&p->supervisor, &info);
	relay_drain(&p->relay);
	relay_run(&p->relay, 0);
	switch (ending) {
	case ENDED_LATE:
		return CONN_timed_out;
	case ENDED_ON_ORDER:
		return supervisor_outcome(&p->supervisor, &info);
	default:
		return CONN_aborted_error;
	}
}

/* The client is about to know that it was served, and may come again. */
static void on_closing(void *userdata)
{
	const struct prestart *p = userdata;

	admit_end(p->loop, p->entrant);
}

enum connection_field prestart_bring_together(struct prestart *p, const struct program_client *c)
{
	uint64_t timeout = p->job->program->connection_timeout_usec;
	uint64_t deadline = timeout ? c->begun_usec + timeout : NEVER;
	enum connection_field outcome;
	enum ending ending = ENDED_WITHOUT_CLIENT;

	if (relay_begin(&p->relay, c->fd, p->program.near) == 0) {
		p->relay.out.closing = on_closing;
		p->relay.out.userdata = p;
		ending = converse(p, deadline);
	}
	if (ending == ENDED_LATE)
		tell_late(p, c, p->supervisor.pid);
	outcome = ending == ENDED_ITSELF ? settle(p, c, deadline) : end_program(p, ending);
	relay_end(&p->relay);
	prestart_program_forget(&p->program);
	return outcome;
}
