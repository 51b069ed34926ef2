/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "worker/admit.h"
#include "worker/lingering.h"
#include "worker/prestart.h"
#include "worker/prestart_program.h"
#include "worker/program.h"
#include "worker/program_client.h"
#include "worker/queued.h"
#include "worker/refuse.h"
#include "worker/relay.h"
#include "worker/waiting.h"

#define NEVER UINT64_MAX

/* A program whose client is gone has so long to notice by itself. */
#define GRACE_USEC UINT64_C(2000000)
/* The program has ended: a client that takes nothing of what is left for so long is given up. */
#define STALL_USEC UINT64_C(60000000)
/* What it says meanwhile stays in the pipe: a flood must not keep clients out. */
#define QUIET_USEC    UINT64_C(50000)
#define SHORTAGE_USEC UINT64_C(100000)

struct prestart {
	struct loop *loop;
	const struct worker_job *job;
	struct supervisor supervisor;
	struct prestart_program program;
	struct relay relay;
	struct entrant *entrant;    /* of the client */
	struct lingering lingering; /* the clients before */
	uint64_t quiet_usec;        /* till then its stderr is not read without a client */
};

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void look_at_lingering(struct prestart *p)
{
	if (p->lingering.count > 0)
		lingering_look(&p->lingering, loop_now());
}

/* Takes note of what has happened, without waiting. */
static void look(struct prestart *p)
{
	enum supervised what;

	look_at_lingering(p);
	do {
		what = supervisor_wait(&p->supervisor, 0);
		if (what == SUPERVISED_ENDED)
			prestart_program_ended(&p->program);
		if (what == SUPERVISED_MORE)
			look_at_lingering(p);
	} while (what != SUPERVISED_TIMEOUT);
}

/* When something is to be done that nobody will ask for. */
static uint64_t next_moment(const struct prestart *p, uint64_t now)
{
	uint64_t next =
		sooner(program_stderr_due(&p->supervisor.said), prestart_program_due(&p->program));

	if (p->lingering.count > 0)
		next = sooner(next, p->lingering.clients[0].deadline);
	return now < p->quiet_usec ? sooner(next, p->quiet_usec) : next;
}

/* Waits as long as the service's rate has it. Returns true when it does. */
static bool is_too_early(struct prestart *p, uint64_t now)
{
	uint64_t turn = admit_turn(p->loop, waiting_listener(), now);
	enum supervised what;

	if (turn <= now)
		return false;
	what = supervisor_wait(&p->supervisor, sooner(turn, next_moment(p, now)));
	if (what == SUPERVISED_ENDED)
		prestart_program_ended(&p->program);
	return true;
}

/* Returns 0 with a client, 1 without, -1 after an error that ends the worker. */
static int take_client(struct prestart *p, struct program_client *c)
{
	uint64_t now = loop_now();
	bool input = now >= p->quiet_usec;

	prestart_program_keep(&p->program, now);
	if (p->program.shortage) {
		/* A client that waits in the queue is better off than one that gets nothing. */
		supervisor_wait(&p->supervisor, now + SHORTAGE_USEC);
		return 1;
	}
	if (p->job->admission) {
		if (is_too_early(p, now))
			return 1;
		queued_before(p->loop, waiting_listener());
	}
	c->peer_len = sizeof(c->peer);
	c->fd = waiting_accept(&c->peer.any, &c->peer_len, &input, next_moment(p, now));
	if (input)
		p->quiet_usec = loop_now() + QUIET_USEC;
	if (c->fd >= 0)
		return 0;
	return errno != EINTR && loop_failed(p->loop, "accept", errno) < 0 ? -1 : 1;
}

/* ---- the two are brought together ---- */

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
		look_at_lingering(p);
	} while (what == SUPERVISED_MORE || (what == SUPERVISED_TIMEOUT && loop_now() < deadline));
	return what;
}

/* As relay_run(), beside them too; what woke it is seen by the next supervisor_wait(). */
static enum relay_event relay_on(struct prestart *p, uint64_t deadline)
{
	enum relay_event event;

	do {
		event = relay_run(&p->relay, sooner(deadline, lingering_due(&p->lingering)));
		look_at_lingering(p);
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

static enum connection_field bring_together(struct prestart *p, const struct program_client *c)
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

/* Returns true when there is a program for a client that has come. */
static bool is_served(struct prestart_program *program)
{
	if (prestart_program_is_alive(program)) {
		program->pause_usec = 0;
		return true;
	}
	if (program->near >= 0)
		prestart_program_ended(program);
	return prestart_program_start(program) == 0;
}

static bool ends(const struct prestart *p)
{
	return p->supervisor.leave || loop_ends(p->loop);
}

/* The client has its end; what it does until it closes is no reason to wait. */
static void close_later(struct prestart *p, struct program_client *c)
{
	shutdown(c->fd, SHUT_WR);
	if (p->supervisor.quit || waiting_watch(c->fd) < 0)
		return;
	lingering_add(&p->lingering, c->fd, loop_now());
	c->fd = -1;
}

static enum connection_field serve(struct prestart *p, struct program_client *c, struct entrant *e,
				   struct log_about *about)
{
	enum connection_field outcome = CONN_aborted_error;

	p->entrant = e;
	if (is_served(&p->program)) {
		outcome = bring_together(p, c);
		about->bytes_in = p->relay.in.bytes;
		about->bytes_out = p->relay.out.bytes;
	}
	admit_end(p->loop, e);
	if (!ends(p) && p->program.pause_usec == 0)
		prestart_program_keep(&p->program, loop_now());
	close_later(p, c);
	return outcome;
}

static void refuse(struct prestart *p, struct program_client *c)
{
	refuse_send_off(p->loop, c->fd);
	if (p->supervisor.quit || waiting_watch(c->fd) < 0)
		return;
	lingering_add_refused(&p->lingering, c->fd, loop_now());
	c->fd = -1;
}

static void attend(struct prestart *p, struct program_client *c)
{
	enum connection_field outcome = CONN_finished;
	struct log_about about = {.counted = true};
	struct entrant e = {.fd = c->fd, .peer = &c->peer.any};
	bool served;

	program_client_begin(c, p->job);
	p->loop->served++;
	e.len = c->peer_len;
	e.now_usec = c->begun_usec;
	if (p->job->admission)
		outcome = admit(p->loop, &e);
	c->peer_len = e.len;
	served = outcome == CONN_finished;
	if (served)
		outcome = serve(p, c, &e, &about);
	else
		refuse(p, c);
	program_client_end(c, p->job, outcome, &about);
	if (!served)
		refuse_tell(p->loop, &e, outcome);
}

/* ---- the loop ---- */

static int open_all(struct prestart *p, struct error *err)
{
	struct supervisor *s = &p->supervisor;

	if (supervisor_open(s, p->job, err) < 0 || waiting_open(p->job->listener, err) < 0)
		return -1;
	lingering_open(&p->lingering);
	s->more = p->lingering.wake;
	if (prestart_program_open(&p->program, s) < 0 || relay_open(&p->relay) < 0 ||
	    relay_watch(&p->relay, s->signals) < 0 ||
	    (s->more >= 0 && relay_watch(&p->relay, s->more) < 0))
		return error_set(err, 0, "preparing to serve by programs: %s", strerror(errno));
	if (s->said.read_fd >= 0 &&
	    (relay_watch(&p->relay, s->said.read_fd) < 0 || waiting_watch(s->said.read_fd) < 0))
		return error_set(err, 0, "watching stderr of programs: %s", strerror(errno));
	return 0;
}

static int prepare(struct prestart *p, struct loop *loop)
{
	struct error err;

	*p = (struct prestart){.loop = loop, .job = loop->job};
	/* What a program must not get: all but 0, 1 and 2. */
	close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	if (open_all(p, &err) == 0)
		return 0;
	log_event(LOG_LEVEL_ERROR, MESSAGE_worker_failed, NULL, "%s", err.text);
	return -1;
}

static void end_idle_program(struct prestart *p)
{
	siginfo_t info;

	if (p->program.near < 0)
		return;
	supervisor_end(&p->supervisor, &info);
	prestart_program_forget(&p->program);
}

/* Unless the worker has to leave at once. */
static void finish_lingering(struct prestart *p)
{
	while (p->lingering.count > 0 && !p->supervisor.quit) {
		supervisor_wait(&p->supervisor, lingering_due(&p->lingering));
		look_at_lingering(p);
	}
}

static void close_all(struct prestart *p)
{
	end_idle_program(p);
	finish_lingering(p);
	lingering_close(&p->lingering);
	relay_close(&p->relay);
	waiting_close();
	supervisor_close(&p->supervisor);
}

int loop_prestart(struct loop *loop)
{
	static struct prestart p;
	struct program_client client;
	int status = prepare(&p, loop);

	if (status < 0)
		return -1;
	while (status >= 0 && !ends(&p)) {
		status = take_client(&p, &client);
		if (status == 0)
			attend(&p, &client);
		look(&p);
	}
	close_all(&p);
	return status < 0 ? -1 : 0;
}
