/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "worker/admit.h"
#include "worker/prestart.h"
#include "worker/prestart_session.h"
#include "worker/queued.h"
#include "worker/refuse.h"
#include "worker/waiting.h"

/* What it says meanwhile stays in the pipe: a flood must not keep clients out. */
#define QUIET_USEC    UINT64_C(50000)
#define SHORTAGE_USEC UINT64_C(100000)

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Takes note of what has happened, without waiting. */
static void look(struct prestart *p)
{
	enum supervised what;

	prestart_look_at_lingering(p);
	do {
		what = supervisor_wait(&p->supervisor, 0);
		if (what == SUPERVISED_ENDED)
			prestart_program_ended(&p->program);
		if (what == SUPERVISED_MORE)
			prestart_look_at_lingering(p);
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

/* ---- a client ---- */

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
		outcome = prestart_bring_together(p, c);
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

	program_client_begin(c, p->loop);
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
		prestart_look_at_lingering(p);
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
