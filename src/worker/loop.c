/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "base/hot.h"
#include "base/log.h"
#include "board/write.h"
#include "worker/loop.h"
#include "worker/memory.h"
#include "worker/queued.h"
#include "worker/stop.h"

#define LOG_EVERY_USEC UINT64_C(60000000)
/* Clients, and the least time, from one look at the worker's memory to the next. */
#define MEMORY_EVERY 64
#define MEMORY_USEC  UINT64_C(1000000)
/* How long a look at whether the listener blocks again may be off. */
#define NONBLOCKING_MS 1000

HOT uint64_t loop_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* ---- recycling ---- */

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t first_look(const struct worker_job *job)
{
	uint64_t last = job->recycle_after ? job->recycle_after : UINT64_MAX;

	return job->recycle_memory ? least(last, MEMORY_EVERY) : last;
}

static bool is_too_big(struct loop *loop)
{
	uint64_t limit = loop->job->recycle_memory, now = loop_now(), size;

	if (limit == 0 || now < loop->memory_due)
		return false;
	loop->memory_due = now + MEMORY_USEC;
	size = memory_private();
	if (size <= limit)
		return false;
	log_info("leaves after %llu clients: %llu kB of private memory are more than "
		 "recycle_memory",
		 (unsigned long long)loop->served, (unsigned long long)size / 1024);
	return true;
}

/* Once for so many clients: whether it has served for long enough. */
static bool is_worn(struct loop *loop)
{
	if (loop->served < loop->last && is_too_big(loop))
		loop->last = loop->served;
	loop->due = least(loop->last, loop->served + MEMORY_EVERY);
	return loop->served >= loop->last;
}

/* Where the kernel does not tell how long a client has waited. */
static bool asks_queue(const struct worker_job *job)
{
	socklen_t size = sizeof(int);
	int domain = 0;

	return job->admission && job->admission->queue_timeout_usec && job->type != SOCK_DGRAM &&
	       getsockopt(job->listener, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
	       domain == AF_UNIX;
}

/* With queue_timeout each is measured anyway. */
static bool samples_wait(const struct worker_job *job)
{
	return !(job->admission && job->admission->queue_timeout_usec) &&
	       queued_is_told(job->listener, job->type);
}

void loop_prepare(struct loop *loop, const struct worker_job *job, const struct master_file *master)
{
	*loop = (struct loop){
		.word = &master->owners[job->slot_index].word,
		.slot = job->slot,
		.serve = job->handler ? job->handler->serve : NULL,
		.state = job->state,
		.last = job->recycle_after ? job->recycle_after : UINT64_MAX,
		.due = first_look(job),
		.listener = job->listener,
		.type = job->type,
		.set_timeout = job->idle_timeout_usec != 0,
		.limited = job->connection_timeout_usec != 0,
		.log = job->log_connections,
		.samples_wait = samples_wait(job),
		.job = job,
		.admission = job->admission,
		.asks_queue = asks_queue(job),
		.master = master,
	};
}

HOT bool loop_ends(struct loop *loop)
{
	return atomic_load_explicit(loop->word, memory_order_acquire) == WORD_LEAVE ||
	       (loop->served >= loop->due && is_worn(loop));
}

static const struct {
	int errnum;
	enum failure failure;
} failures[] = {
	/* the client, or its route, is gone */
	{ECONNABORTED, FAILURE_NEXT},
	{EPROTO, FAILURE_NEXT},
	{EPERM, FAILURE_NEXT},
	{EINTR, FAILURE_NEXT},
	{EAGAIN, FAILURE_NEXT},
	{EHOSTUNREACH, FAILURE_NEXT},
	{ENETUNREACH, FAILURE_NEXT},
	{ETIMEDOUT, FAILURE_NEXT},
	{ECONNREFUSED, FAILURE_NEXT}, /* an answer of ours came back as an ICMP error */
	{ECONNRESET, FAILURE_NEXT},
	{ENOPROTOOPT, FAILURE_NEXT},
	{EHOSTDOWN, FAILURE_NEXT},
	{EOPNOTSUPP, FAILURE_NEXT},
	{ENONET, FAILURE_NEXT},
	/* the machine is short of something; accept fails at once even when no client is there */
	{EMFILE, FAILURE_WAIT},
	{ENFILE, FAILURE_WAIT},
	{ENOBUFS, FAILURE_WAIT},
	{ENOMEM, FAILURE_WAIT},
	{ENETDOWN, FAILURE_WAIT},
	{ENOLCK, FAILURE_WAIT}, /* of turns.h */
};

enum failure loop_failure(int errnum)
{
	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++)
		if (failures[i].errnum == errnum)
			return failures[i].failure;
	return FAILURE_FATAL;
}

void loop_wait(int listener, int errnum)
{
	struct pollfd p = {.fd = listener, .events = POLLIN};
	int flags;

	if (errnum != EAGAIN)
		return;
	flags = fcntl(listener, F_GETFL);
	if (flags >= 0 && (flags & O_NONBLOCK))
		poll(&p, 1, NONBLOCKING_MS);
}

int loop_failed(struct loop *loop, const char *call, int errnum)
{
	static struct log_limit limit;
	const struct timespec pause = {.tv_nsec = 100000000};

	if (stop_came())
		return -1;
	switch (loop_failure(errnum)) {
	case FAILURE_NEXT:
		loop_wait(loop->listener, errnum);
		return 0;
	case FAILURE_WAIT:
		slot_count(loop->job->slot, CONN_accept_errors);
		if (log_limit_passes(&limit, LOG_EVERY_USEC))
			log_event(LOG_LEVEL_WARNING, MESSAGE_descriptors_exhausted, NULL,
				  "%s: %s; trying again every 100 ms", call, strerror(errnum));
		nanosleep(&pause, NULL);
		return 0;
	case FAILURE_FATAL:
		break;
	}
	log_event(LOG_LEVEL_ERROR, MESSAGE_worker_failed, NULL, "%s: %s", call, strerror(errnum));
	return -1;
}
