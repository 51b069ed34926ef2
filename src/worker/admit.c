/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <time.h>

#include "base/address.h"
#include "base/log.h"
#include "base/rules.h"
#include "board/write.h"
#include "worker/admit.h"
#include "worker/queued.h"
#include "worker/stop.h"

/* How late a client that waits for its turn notices that its worker is told to leave. */
#define NOTICE_USEC UINT64_C(100000)
/* To be counted again because others came and went meanwhile. */
#define HOLD_TRIES 64
/* How often a worker that waits for a token looks at the others. */
#define LOOK_USEC UINT64_C(1000000)

static const struct admission *rules_of(const struct loop *loop)
{
	return loop->job->admission;
}

static bool is_told_to_leave(const struct loop *loop)
{
	return atomic_load_explicit(loop->word, memory_order_acquire) == WORD_LEAVE;
}

/* Returns true when there is something to see. `open`: signals may come, which else do as they may
 * where this is called. */
static bool sleep_on(int fd, uint64_t usec, const sigset_t *open)
{
	/* Not for a client, which would wake all who wait: only for what no listener has, and the
	 * dead socket of a stop has at once. */
	struct pollfd p = {.fd = fd};
	const struct timespec ts = {.tv_sec = (time_t)(usec / 1000000),
				    .tv_nsec = (long)(usec % 1000000) * 1000};

	return ppoll(&p, fd >= 0, &ts, open) > 0;
}

/* ---- before accept ---- */

/*
 * As many workers accept as there are tokens, those in the lowest slots: a client that cannot be
 * served yet is better off in the queue than with a worker. For each of the others it is known when
 * there will be a token for it, so that no two wake for the same one.
 */
static uint64_t wait_of(const struct loop *loop, int listener, uint64_t now_usec)
{
	const struct admission *a = rules_of(loop);
	const struct worker_job *job = loop->job;
	uint64_t before, due;

	if (sources_rate_tokens(a->sources, &a->rate, now_usec) > job->slot_index)
		return 0;
	/* First those before: one of them that has a client by now has taken its token then. */
	before = slot_count_idle_before(job->slot, job->slot_index, loop->master, a->rate.count);
	if (sources_rate_tokens(a->sources, &a->rate, now_usec) > before)
		return 0;
	/* They are stopped, or have died unseen. */
	if (sources_rate_rests(a->sources, &a->rate, now_usec, LOOK_USEC) &&
	    !queued_nobody(listener))
		return 0;
	if (before == a->rate.count)
		return LOOK_USEC;
	due = sources_rate_due(a->sources, &a->rate, before + 1, now_usec);
	return due < LOOK_USEC ? due : LOOK_USEC;
}

uint64_t admit_turn(const struct loop *loop, int listener, uint64_t now_usec)
{
	const struct admission *a = rules_of(loop);

	return a && a->rate.count ? now_usec + wait_of(loop, listener, now_usec) : 0;
}

static void wait_for_token(const struct loop *loop, int listener)
{
	uint64_t now = loop_now(), turn = admit_turn(loop, listener, now);
	sigset_t none;

	sigemptyset(&none);
	while (turn > now && !stop_came() && !sleep_on(listener, turn - now, &none)) {
		now = loop_now();
		turn = admit_turn(loop, listener, now);
	}
}

void admit_wait(struct loop *loop, int listener)
{
	const struct admission *a = rules_of(loop);

	if (a->rate.count)
		wait_for_token(loop, listener);
	if (a->queue_timeout_usec)
		queued_before(loop, listener);
}

/* ---- who ---- */

static bool is_user(const struct sockaddr *peer)
{
	return peer->sa_family != AF_INET && peer->sa_family != AF_INET6;
}

static bool wants_user(const struct admission *a)
{
	return a->per_source || a->rate_per_source.count || rules_has_users(a->allow) ||
	       rules_has_users(a->deny);
}

static void ask_user(const struct loop *loop, struct entrant *e)
{
	struct ucred who;
	socklen_t size = sizeof(who);

	if (e->fd >= 0 && getsockopt(e->fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0) {
		e->user_known = true;
		e->uid = who.uid;
		e->gid = who.gid;
	}
	if (e->user_known)
		slot_set_uid(loop->slot, e->uid);
}

static enum connection_field ask_proxy(const struct loop *loop, struct entrant *e)
{
	struct proxy_local unused = {.len = 0};
	struct proxy_local *local = e->local ? e->local : &unused;
	enum connection_field outcome = proxy_receive(loop->job, e->fd, e->peer, &e->len, local);

	e->now_usec = loop_now(); /* it may have waited */
	/* Of another one the user is not known: it was the proxy's. */
	if (local->len)
		e->user_known = false;
	return outcome;
}

static bool matches(const struct rules *rules, const struct entrant *e)
{
	return is_user(e->peer) ? e->user_known && rules_match_user(rules, e->uid, e->gid)
				: rules_match_address(rules, e->peer);
}

static bool may_come(const struct admission *a, const struct entrant *e)
{
	/* Who cannot be told from those who may not come may not. */
	if (is_user(e->peer) && !e->user_known && rules_has_users(a->deny))
		return false;
	return !matches(a->deny, e) && (!a->allow || matches(a->allow, e));
}

/* ---- how many, how fast ---- */

/*
 * The shared count is never too low. Where it says too many, this client is taken out of it and the
 * others are counted on the board, so that what a dead worker held refuses nobody. Of several that
 * count at the same time the last to be taken out sees none of them.
 */
static bool hold(const struct loop *loop, struct entrant *e)
{
	const struct admission *a = rules_of(loop);
	const struct worker_job *job = loop->job;

	for (int i = 0; i < HOLD_TRIES; i++) {
		unsigned others;

		slot_set_source(job->slot, e->tag);
		e->hold = sources_hold(a->sources, e->tag, e->now_usec);
		if (e->hold.entry != SOURCES_NONE && source_hold_count(&e->hold) <= a->per_source)
			return true;
		if (e->hold.entry == SOURCES_NONE)
			return slot_count_tag(job->slot, job->slot_index, loop->master, e->tag) <=
			       a->per_source;
		sources_release(a->sources, e->tag, &e->hold);
		slot_set_source(job->slot, 0);
		others = slot_count_tag(job->slot, job->slot_index, loop->master, e->tag);
		sources_correct(a->sources, e->tag, &e->hold, others);
		e->hold.entry = SOURCES_NONE;
		if (others >= a->per_source)
			return false;
	}
	return false;
}

/* Its token is owed: others took those that there were while it was accepted. */
static void wait_for_turn(const struct loop *loop, const struct entrant *e, uint64_t owed_usec)
{
	uint64_t now = loop_now(), until = now + owed_usec;

	while (now < until && !is_told_to_leave(loop)) {
		uint64_t left = until - now;

		if (sleep_on(e->fd, left < NOTICE_USEC ? left : NOTICE_USEC, NULL))
			return; /* it is gone, or its time is over */
		now = loop_now();
	}
}

static enum connection_field apply_limits(const struct loop *loop, struct entrant *e)
{
	const struct admission *a = rules_of(loop);
	uint64_t owed;

	if (a->per_source || a->rate_per_source.count)
		e->tag = sources_tag(a->sources, e->peer, e->user_known ? e->uid : (uid_t)-1);
	if (a->per_source && !hold(loop, e))
		return CONN_refused_per_source;
	if (a->rate_per_source.count &&
	    !sources_pass(a->sources, e->tag, &a->rate_per_source, e->now_usec))
		return CONN_refused_rate;
	owed = a->rate.count ? sources_rate_take(a->sources, &a->rate, e->now_usec) : 0;
	if (owed)
		wait_for_turn(loop, e, owed);
	return CONN_finished;
}

static bool waited_too_long(const struct loop *loop, const struct entrant *e)
{
	uint64_t waited = queued_for(loop, e);

	times_waited(waited);
	return waited > rules_of(loop)->queue_timeout_usec;
}

static enum connection_field decide(const struct loop *loop, struct entrant *e)
{
	const struct admission *a = rules_of(loop);
	enum connection_field outcome = CONN_finished;

	if (a->queue_timeout_usec && waited_too_long(loop, e))
		return CONN_refused_queue;
	/* Before a proxy says that it is another's. */
	if (is_user(e->peer) && wants_user(a))
		ask_user(loop, e);
	if (a->proxy != PROXY_OFF)
		outcome = ask_proxy(loop, e);
	if (outcome != CONN_finished)
		return outcome;
	if (!may_come(a, e))
		return CONN_refused_access;
	return apply_limits(loop, e);
}

enum connection_field admit(const struct loop *loop, struct entrant *e)
{
	enum connection_field outcome;

	e->tag = 0;
	e->hold.entry = SOURCES_NONE;
	outcome = decide(loop, e);
	if (outcome != CONN_finished)
		admit_end(loop, e);
	return outcome;
}

void admit_end(const struct loop *loop, struct entrant *e)
{
	const struct admission *a = rules_of(loop);

	if (!a || e->tag == 0)
		return;
	if (a->per_source) {
		sources_release(a->sources, e->tag, &e->hold);
		slot_set_source(loop->slot, 0);
	}
	e->tag = 0;
}
