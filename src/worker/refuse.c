/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include "base/address.h"
#include "base/log.h"
#include "worker/lingering.h"
#include "worker/refuse.h"

/* Ends an accept() now and then while there is somebody to look after. Without SA_RESTART, and
 * blocked but in there, it disturbs no handler. */
#define SIGNAL_TICK SIGIO
#define TICK_NSEC   20000000

static struct {
	struct lingering lingering;
	timer_t timer;
	bool prepared, ticks;
} refused = {.lingering = {.wake = -1}};

/* ---- the message ---- */

void refuse_send_off(const struct loop *loop, int fd)
{
	const struct admission *a = loop->job->admission;

	if (a->busy_size)
		(void)!send(fd, a->busy_message, a->busy_size, MSG_DONTWAIT | MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
}

/* ---- the log ---- */

static const char *reason(enum connection_field outcome)
{
	switch (outcome) {
	case CONN_refused_access:
		return "refused by allow and deny";
	case CONN_refused_per_source:
		return "refused, its source has per_source connections already";
	case CONN_refused_rate:
		return "refused, its source comes faster than rate_per_source";
	case CONN_refused_queue:
		return "refused, it has waited longer than queue_timeout";
	case CONN_refused_proxy:
		return "refused, it came without the header that proxy_protocol asks for";
	case CONN_timed_out:
		return "sent no whole PROXY header in time";
	default:
		return "broke off before it was served";
	}
}

void refuse_tell(const struct loop *loop, const struct entrant *e, enum connection_field outcome)
{
	struct sources *sources = loop->job->admission->sources;
	char peer[ADDRESS_TEXT_MAX], user[32] = "", more[64] = "";
	uint64_t tag = sources_tag(sources, e->peer, e->user_known ? e->uid : (uid_t)-1);
	struct log_about about = {.source = peer};
	unsigned suppressed;

	if (loop->log || !sources_may_tell(sources, tag, e->now_usec, &suppressed))
		return;
	address_format_peer(e->peer, e->len, peer);
	if (e->user_known)
		snprintf(user, sizeof(user), " of uid %u", (unsigned)e->uid);
	if (suppressed)
		snprintf(more, sizeof(more), "; %u such lines were not written", suppressed);
	log_event(LOG_LEVEL_NOTICE, MESSAGE_client_refused, &about, "client %s%s: %s%s", peer, user,
		  reason(outcome), more);
}

/* ---- those that have not ended yet ---- */

static void on_tick(int signal)
{
	(void)signal;
}

static void prepare(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGNAL_TICK};
	struct sigaction action = {.sa_handler = on_tick};
	sigset_t tick;

	refused.prepared = true;
	sigemptyset(&tick);
	sigaddset(&tick, SIGNAL_TICK);
	sigprocmask(SIG_BLOCK, &tick, NULL);
	sigemptyset(&action.sa_mask);
	sigaction(SIGNAL_TICK, &action, NULL);
	/* Without it they are looked after when the next client comes. */
	refused.ticks = timer_create(CLOCK_MONOTONIC, &event, &refused.timer) == 0;
}

static void tick(bool on)
{
	const struct timespec every = {.tv_nsec = on ? TICK_NSEC : 0};
	const struct itimerspec ticks = {.it_interval = every, .it_value = every};

	if (refused.ticks)
		timer_settime(refused.timer, 0, &ticks, NULL);
}

static void look(void)
{
	lingering_look(&refused.lingering, loop_now());
	if (refused.lingering.count == 0)
		tick(false);
}

void refuse_keep(int fd)
{
	struct lingering *l = &refused.lingering;
	bool first = l->count == 0;

	lingering_add_refused(l, fd, loop_now());
	lingering_look(l, loop_now());
	if (!first || l->count == 0)
		return;
	if (!refused.prepared)
		prepare();
	tick(true);
}

static void let_tick(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGNAL_TICK);
	sigprocmask(how, &set, NULL);
}

int refuse_accept(int listener, struct sockaddr *peer, socklen_t *len)
{
	int fd, errnum;

	if (refused.lingering.count > 0)
		look();
	if (refused.lingering.count == 0)
		return accept4(listener, peer, len, SOCK_CLOEXEC);
	let_tick(SIG_UNBLOCK);
	fd = accept4(listener, peer, len, SOCK_CLOEXEC);
	errnum = errno;
	let_tick(SIG_BLOCK);
	errno = errnum;
	return fd;
}

void refuse_finish(void)
{
	const struct timespec pause = {.tv_nsec = TICK_NSEC};

	while (refused.lingering.count > 0) {
		look();
		if (refused.lingering.count > 0)
			nanosleep(&pause, NULL);
	}
}
