/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/address.h"
#include "board/write.h"
#include "worker/admit.h"
#include "worker/program_errand.h"
#include "worker/refuse.h"
#include "worker/stop.h"

socklen_t program_errand_local(int fd, struct sockaddr_storage *local)
{
	socklen_t len = sizeof(*local);

	if (getsockname(fd, (struct sockaddr *)local, &len) < 0)
		return 0;
	return local->ss_family == AF_INET6 ? address_unmap((struct sockaddr *)local, len) : len;
}

static int fail(struct errand *e, const char *call, int errnum)
{
	e->failed = call;
	e->error = errnum;
	return 1;
}

static bool accepts(int listener, struct program_client *c)
{
	c->peer_len = sizeof(c->peer);
	c->fd = accept4(listener, &c->peer.any, &c->peer_len, SOCK_CLOEXEC);
	return c->fd >= 0;
}

/*
 * accept(2) wakes those who wait in it strictly in turn; here the same few are preferred, whose
 * caches are warm. The signals are open only while it waits.
 */
static void wait_for_client(const struct programs *p)
{
	struct epoll_event event;
	sigset_t none;

	sigemptyset(&none);
	while (p->ready >= 0 && epoll_pwait(p->ready, &event, 1, -1, &none) < 0 && errno == EINTR &&
	       !stop_came())
		;
	stop_arm();
}

/* Only one was woken for a client: when a stop comes just then, nobody else looks for it. */
static bool accepts_last(const struct programs *p, struct program_client *c)
{
	struct pollfd again = {.fd = p->again, .events = POLLIN};

	return p->again >= 0 && poll(&again, 1, 0) == 1 && accepts(p->again, c);
}

static int take_client(const struct programs *p, struct errand *e)
{
	wait_for_client(p);
	while (!accepts(p->job->listener, &e->client)) {
		e->stopped = stop_came();
		if (e->stopped)
			return accepts_last(p, &e->client) ? 0 : -1;
		if (loop_failure(errno) != FAILURE_NEXT)
			return -1;
		/* The program that had the listener before may have changed its flags. */
		loop_wait(p->job->listener, errno);
	}
	return 0;
}

static void note_client(const struct programs *p, struct errand *e)
{
	program_client_begin(&e->client, p->loop);
	atomic_store(&e->taken, true);
	if (p->supervisor.notice >= 0)
		(void)!write(p->supervisor.notice, &(uint64_t){1}, sizeof(uint64_t));
}

static void fill_environment(struct programs *p, struct errand *e)
{
	const struct proxy_local *local = &e->local;
	const struct program_client *c = &e->client;
	unsigned number = slot_count_source(p->job->slot, p->job->slot_index, p->loop->master);
	bool announced = local->len > 0;

	if (!announced && p->local.len > 0)
		local = &p->local;
	else if (!announced)
		e->local.len = program_errand_local(c->fd, &e->local.address);
	/* Whose user a proxy speaks for, its socket does not know. */
	program_environment_fill(&p->environment, p->job->type, announced ? -1 : c->fd,
				 &c->peer.any, c->peer_len,
				 (const struct sockaddr *)&local->address, local->len, number);
}

static bool is_admitted(const struct programs *p, struct errand *e)
{
	struct program_client *c = &e->client;

	e->entrant = (struct entrant){.fd = c->fd,
				      .peer = &c->peer.any,
				      .len = c->peer_len,
				      .now_usec = c->begun_usec,
				      .local = &e->local};
	e->outcome = admit(p->loop, &e->entrant);
	c->peer_len = e->entrant.len;
	if (e->outcome != CONN_finished)
		refuse_send_off(p->loop, c->fd);
	return e->outcome == CONN_finished;
}

/* Runs on a stack of its own, in the memory of the worker, which waits. */
int program_errand_run(void *programs)
{
	struct programs *p = programs;
	const struct worker_job *job = p->job;
	struct errand *e = p->errand;
	int err_fd = p->supervisor.said.write_fd, client;

	if (program_child_prepare(job, p->self) < 0)
		return fail(e, "preparing the child", errno);
	if (job->admission)
		admit_wait(p->loop, job->listener);
	if (take_client(p, e) < 0)
		return e->stopped ? 0 : fail(e, "accept", errno);
	note_client(p, e);
	if (job->admission && !is_admitted(p, e))
		return 0;
	fill_environment(p, e);
	/* From here on the descriptors are its own: what becomes 0, 1 and 2 stays out of the
	 * worker. */
	if (unshare(CLONE_FILES) < 0)
		return fail(e, "unshare", errno);
	client = e->client.fd;
	program_child_execute(job, client, client, err_fd >= 0 ? err_fd : client,
			      p->environment.list);
	return fail(e, job->program->argv[0], errno);
}
