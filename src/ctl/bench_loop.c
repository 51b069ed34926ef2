/* SPDX-License-Identifier: ISC */
/* One process of the load: its clients, and when each begins its next request. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sysexits.h>

#include "base/fd.h"
#include "ctl/bench_client.h"

#define EVENTS_MAX 256
/* A server that is gone must not be hammered. */
#define PAUSE_NSEC (10 * NSEC_PER_SEC / 1000)
/* Nothing tells when a Unix listener's queue has room. */
#define FULL_NSEC (NSEC_PER_SEC / 1000)
/* For the last replies, where --timeout sets no limit. */
#define GRACE_NSEC (5 * NSEC_PER_SEC)

struct loop {
	struct bench_context context; /* first: the clients' view of it */
	unsigned number;
	struct bench_clients free, active, paused, full;
	struct bench_client *clients;
	uint64_t count;
	bool holds; /* a request to begin */
	bool last;  /* there is no other */
	uint64_t due;
	uint64_t away_from, away_until; /* when it last came too late for a free client */
};

/* ---- which request is next */

/* Takes the next request's turn: whoever has a free client first, of all processes. */
static void take_turn(struct loop *loop)
{
	const struct bench_settings *s = loop->context.settings;
	struct bench_shared *shared = loop->context.shared;
	uint64_t turn;

	loop->due = 0;
	loop->holds = true;
	if (!s->count && !s->rate.count)
		return;
	turn = atomic_fetch_add_explicit(&shared->next, 1, memory_order_relaxed);
	if (s->rate.count)
		loop->due = bench_due(s->rate, shared->begin, turn);
	loop->last = (s->count && turn >= s->count) || loop->due >= shared->end;
	loop->holds = !loop->last;
}

/* The server's fault when no client was free, and this process's when one was but nobody looked: of
 * all that became due in that time, though when it looks again clients may be few. */
static void count_late(struct loop *loop, const struct bench_client *client, uint64_t now)
{
	struct bench_stats *stats = loop->context.stats;
	uint64_t ready = client->free_since > loop->due ? client->free_since : loop->due;
	uint64_t lag = now > ready ? now - ready : 0;

	bench_times_add(&stats->lag, lag);
	if (lag > BENCH_LATE_NSEC) {
		loop->away_from = ready;
		loop->away_until = now;
	}
	if (now <= loop->due + BENCH_LATE_NSEC)
		return;
	if (loop->due >= loop->away_from && loop->due <= loop->away_until)
		stats->late_own++;
	else
		stats->late_busy++;
}

/* ---- what became of a request */

static void release(struct loop *loop, struct bench_client *client, uint64_t now)
{
	client->active = false;
	client->free_since = now;
	TAILQ_REMOVE(&loop->active, client, link);
	loop->context.stats->last_nsec = now;
}

static void succeeded(struct loop *loop, struct bench_client *client)
{
	struct bench_stats *stats = loop->context.stats;
	uint64_t now = bench_now();

	release(loop, client, now);
	TAILQ_INSERT_TAIL(&loop->free, client, link);
	bench_times_add(&stats->total, now - client->from);
	stats->good++;
	if (now <= loop->context.shared->end)
		stats->in_time++;
}

static bool nobody_there(enum bench_failure failure)
{
	return failure == BENCH_REFUSED || failure == BENCH_UNREACHABLE || failure == BENCH_OTHER;
}

/* Ends it all when nothing went well and every client found nobody. */
static void count_failure(struct loop *loop, const struct bench_client *client)
{
	struct bench_stats *stats = loop->context.stats;
	int none = 0;

	stats->failed[client->failure]++;
	if (client->failure == BENCH_OTHER)
		stats->other_errno = client->errnum;
	if (stats->good || !nobody_there(client->failure) ||
	    stats->failed[client->failure] < loop->count)
		return;
	if (atomic_compare_exchange_strong(&loop->context.shared->hopeless, &none, client->errnum))
		atomic_store(&loop->context.shared->stop, true);
}

static void failed(struct loop *loop, struct bench_client *client)
{
	uint64_t now = bench_now();

	bench_client_close(client);
	release(loop, client, now);
	TAILQ_INSERT_TAIL(&loop->paused, client, link);
	count_failure(loop, client);
}

/* Of a name's several addresses the first that answers is the one. */
static bool next_endpoint(struct loop *loop, struct bench_client *client)
{
	struct bench_shared *shared = loop->context.shared;
	unsigned from = client->endpoint;

	if (loop->context.stats->good || !nobody_there(client->failure))
		return false;
	if (from + 1 < loop->context.settings->endpoint_count)
		atomic_compare_exchange_strong(&shared->endpoint, &from, from + 1);
	return atomic_load(&shared->endpoint) > client->endpoint;
}

static void settle(struct loop *loop, struct bench_client *client, enum bench_step step)
{
	while (step == BENCH_FAILED && next_endpoint(loop, client)) {
		bench_client_close(client);
		step = bench_client_begin(&loop->context, client);
	}
	if (client->full && step != BENCH_FULL)
		TAILQ_REMOVE(&loop->full, client, full_link);
	if (!client->full && step == BENCH_FULL)
		TAILQ_INSERT_TAIL(&loop->full, client, full_link);
	client->full = step == BENCH_FULL;
	if (step == BENCH_DONE)
		succeeded(loop, client);
	else if (step == BENCH_FAILED)
		failed(loop, client);
}

static void begin(struct loop *loop, struct bench_client *client)
{
	struct bench_stats *stats = loop->context.stats;
	uint64_t now = bench_now();

	loop->holds = false;
	if (loop->context.settings->rate.count)
		count_late(loop, client, now);
	client->begun = now;
	client->from = loop->context.settings->rate.count ? loop->due : now;
	client->token = stats->begun++ * BENCH_PROCESSES_MAX + loop->number;
	client->active = true;
	TAILQ_REMOVE(&loop->free, client, link);
	TAILQ_INSERT_TAIL(&loop->active, client, link);
	settle(loop, client, bench_client_begin(&loop->context, client));
}

static void begin_due(struct loop *loop)
{
	struct bench_client *client;

	while (!loop->last) {
		uint64_t now = bench_now();

		if (now >= loop->context.shared->end)
			loop->last = true;
		client = TAILQ_FIRST(&loop->free);
		if (loop->last || !client)
			return;
		if (!loop->holds)
			take_turn(loop);
		if (loop->last || loop->due > now)
			return;
		begin(loop, client);
	}
}

/* ---- time */

static void end_overdue(struct loop *loop, uint64_t now)
{
	const struct bench_settings *s = loop->context.settings;
	struct bench_client *client;

	while (s->timeout_nsec && (client = TAILQ_FIRST(&loop->active)) &&
	       now >= client->begun + s->timeout_nsec) {
		client->failure = s->datagrams ? BENCH_LOST : BENCH_TIMED_OUT;
		if (client->full)
			TAILQ_REMOVE(&loop->full, client, full_link);
		client->full = false;
		failed(loop, client);
	}
}

static void end_pauses(struct loop *loop, uint64_t now)
{
	struct bench_client *client;

	while ((client = TAILQ_FIRST(&loop->paused)) && now >= client->free_since + PAUSE_NSEC) {
		TAILQ_REMOVE(&loop->paused, client, link);
		TAILQ_INSERT_TAIL(&loop->free, client, link);
		client->free_since = now;
	}
}

static void try_full(struct loop *loop)
{
	struct bench_client *client, *next;

	for (client = TAILQ_FIRST(&loop->full); client; client = next) {
		next = TAILQ_NEXT(client, full_link);
		settle(loop, client, bench_client_again(&loop->context, client));
	}
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* When the last replies have had their time. */
static uint64_t grace_end(const struct loop *loop)
{
	uint64_t end = loop->context.shared->end;

	return end > UINT64_MAX - GRACE_NSEC ? end : end + GRACE_NSEC;
}

/* When something is to be done without an event. */
static uint64_t next_time(const struct loop *loop, uint64_t now)
{
	const struct bench_settings *s = loop->context.settings;
	uint64_t at = grace_end(loop);

	if (loop->holds && !TAILQ_EMPTY(&loop->free))
		at = least(at, loop->due);
	if (!loop->last)
		at = least(at, loop->context.shared->end);
	if (s->timeout_nsec && !TAILQ_EMPTY(&loop->active))
		at = least(at, TAILQ_FIRST(&loop->active)->begun + s->timeout_nsec);
	if (!TAILQ_EMPTY(&loop->paused))
		at = least(at, TAILQ_FIRST(&loop->paused)->free_since + PAUSE_NSEC);
	if (!TAILQ_EMPTY(&loop->full))
		at = least(at, now + FULL_NSEC);
	return at;
}

static bool is_over(const struct loop *loop, uint64_t now)
{
	if (atomic_load_explicit(&loop->context.shared->stop, memory_order_relaxed))
		return true;
	if (loop->last && TAILQ_EMPTY(&loop->active))
		return true;
	return !loop->context.settings->timeout_nsec && now >= grace_end(loop);
}

/* ---- the loop */

static int wait_events(struct loop *loop, struct epoll_event *events)
{
	uint64_t now = bench_now(), at = next_time(loop, now);
	uint64_t left = at > now ? at - now : 0;
	struct timespec time = {.tv_sec = (time_t)(left / NSEC_PER_SEC),
				.tv_nsec = (long)(left % NSEC_PER_SEC)};

	return epoll_pwait2(loop->context.epoll_fd, events, EVENTS_MAX,
			    at == UINT64_MAX ? NULL : &time, NULL);
}

/* A client that has its reply begins again at once, not when all that has happened was looked at.
 */
static void handle(struct loop *loop, const struct epoll_event *event)
{
	struct bench_client *client = event->data.ptr;

	if (!client) /* the end, which the loop sees */
		return;
	settle(loop, client, bench_client_event(&loop->context, client, event->events));
	begin_due(loop);
}

static int run(struct loop *loop, struct error *err)
{
	struct epoll_event events[EVENTS_MAX];

	for (;;) {
		uint64_t now = bench_now();
		int count;

		end_overdue(loop, now);
		end_pauses(loop, now);
		try_full(loop);
		begin_due(loop);
		if (is_over(loop, now))
			return 0;
		count = wait_events(loop, events);
		if (count < 0 && errno != EINTR)
			return error_set(err, EX_OSERR, "epoll_pwait2: %s", strerror(errno));
		for (int i = 0; i < count; i++)
			handle(loop, &events[i]);
	}
}

static int loop_open(struct loop *loop, struct error *err)
{
	struct epoll_event stop = {.events = EPOLLIN};
	struct bench_context *context = &loop->context;

	context->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (context->epoll_fd < 0 ||
	    epoll_ctl(context->epoll_fd, EPOLL_CTL_ADD, context->shared->stop_fd, &stop) < 0)
		return error_set(err, EX_OSERR, "epoll: %s", strerror(errno));
	loop->clients = calloc(loop->count, sizeof(*loop->clients));
	if (!loop->clients)
		return error_set(err, EX_OSERR, "out of memory");
	for (uint64_t i = 0; i < loop->count; i++) {
		loop->clients[i].fd = -1;
		TAILQ_INSERT_TAIL(&loop->free, &loop->clients[i], link);
	}
	return 0;
}

static void loop_close(struct loop *loop)
{
	struct bench_client *client;

	for (client = TAILQ_FIRST(&loop->active); client; client = TAILQ_NEXT(client, link))
		loop->context.stats->unfinished++;
	for (uint64_t i = 0; loop->clients && i < loop->count; i++)
		bench_client_close(&loop->clients[i]);
	fd_close(&loop->context.epoll_fd);
	free(loop->clients);
}

int bench_loop(const struct bench_settings *settings, struct bench_shared *shared, unsigned number,
	       struct error *err)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	struct bench_stats *stats = &shared->stats[number];
	uint64_t cpu, ready;
	int result;

	if (!loop)
		return error_set(err, EX_OSERR, "out of memory");
	loop->context.settings = settings;
	loop->context.shared = shared;
	loop->context.stats = stats;
	loop->number = number;
	loop->count = settings->connections / settings->processes +
		      (number < settings->connections % settings->processes);
	TAILQ_INIT(&loop->free);
	TAILQ_INIT(&loop->active);
	TAILQ_INIT(&loop->paused);
	TAILQ_INIT(&loop->full);
	bench_exchange_init(&loop->context.exchange, settings);
	result = loop_open(loop, err);
	bench_wait_until(shared->begin);
	cpu = bench_cpu_nsec();
	ready = bench_ready_nsec();
	if (result == 0)
		result = run(loop, err);
	stats->cpu_nsec = bench_cpu_nsec() - cpu;
	stats->ready_nsec = bench_ready_nsec() - ready;
	stats->wall_nsec = bench_now() - shared->begin;
	loop_close(loop);
	free(loop);
	return result;
}
