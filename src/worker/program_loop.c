/* SPDX-License-Identifier: ISC */
/* A program for each connection. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "board/write.h"
#include "worker/admit.h"
#include "worker/closing.h"
#include "worker/program_errand.h"
#include "worker/refuse.h"
#include "worker/stop.h"
#include "worker/traffic.h"

/* A listener of one address has told it once for all. */
static void learn_local(struct programs *p)
{
	const struct sockaddr_in *in = (const void *)&p->local.address;
	const struct sockaddr_in6 *in6 = (const void *)&p->local.address;

	p->local.len = program_errand_local(p->job->listener, &p->local.address);
	if ((in->sin_family == AF_INET && in->sin_addr.s_addr == INADDR_ANY) ||
	    (in->sin_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr)))
		p->local.len = 0;
}

static void prepare_to_wait(struct programs *p)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE};
	int listener = p->job->listener;

	p->again = fcntl(listener, F_DUPFD_CLOEXEC, 3);
	p->ready = p->again < 0 ? -1 : epoll_create1(EPOLL_CLOEXEC);
	if (p->ready >= 0 && epoll_ctl(p->ready, EPOLL_CTL_ADD, listener, &event) < 0)
		fd_close(&p->ready);
	stop_second(p->again);
}

static int prepare(struct programs *p, struct loop *loop)
{
	struct error err;

	*p = (struct programs){.loop = loop, .job = loop->job, .self = getpid()};
	/* What a program must not get: all but 0, 1 and 2. */
	close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	p->errand = mmap(NULL, sizeof(*p->errand), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	p->stack = mmap(NULL, PROGRAM_STACK, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	program_environment_init(&p->environment, p->job->program);
	learn_local(p);
	prepare_to_wait(p);
	lingering_open(&p->lingering);
	if (p->errand == MAP_FAILED || p->stack == MAP_FAILED)
		error_set(&err, 0, "mmap: %s", strerror(errno));
	else if (supervisor_open(&p->supervisor, p->job, &err) == 0) {
		p->supervisor.more = p->lingering.wake;
		return 0;
	}
	log_event(LOG_LEVEL_ERROR, MESSAGE_worker_failed, NULL, "%s", err.text);
	return -1;
}

/* The child has a client, or has given up. */
static void tell_to_stop(const struct programs *p)
{
	if (!atomic_load(&p->errand->taken))
		kill(p->supervisor.pid, p->supervisor.quit ? SIGKILL : SIGURG);
}

enum ending { ENDED_ITSELF, ENDED_LATE, ENDED_ON_ORDER };

/* The child or its program has ended, or has to be. */
static enum ending wait_for_end(struct programs *p)
{
	uint64_t timeout = p->job->program->connection_timeout_usec, deadline = UINT64_MAX, due;
	struct supervisor *s = &p->supervisor;

	for (;;) {
		due = lingering_due(&p->lingering);
		switch (supervisor_wait(s, due < deadline ? due : deadline)) {
		case SUPERVISED_ENDED:
			return ENDED_ITSELF;
		case SUPERVISED_NOTICE:
			deadline = p->errand->client.begun_usec + timeout;
			break;
		case SUPERVISED_LEAVE:
			tell_to_stop(p);
			break;
		case SUPERVISED_END:
			tell_to_stop(p);
			if (atomic_load(&p->errand->taken))
				return ENDED_ON_ORDER;
			break;
		case SUPERVISED_MORE:
		case SUPERVISED_TIMEOUT:
			lingering_look(&p->lingering, loop_now());
			if (loop_now() >= deadline)
				return ENDED_LATE;
			break;
		}
	}
}

/* The client is done: what it still sends is read first, so that no reset eats the reply. Its bytes
 * are known only then; where nobody asks, the next client is not kept waiting for that. */
static void end_connection(struct programs *p, enum ending ending, enum connection_field outcome)
{
	const struct program_client *c = &p->errand->client;
	const struct worker_job *job = p->job;
	struct log_about about;
	uint64_t now;

	p->loop->served++;
	if (job->log_connections) {
		if (!p->supervisor.quit)
			close_gently(c->fd);
		traffic_measure(c->fd, outcome == CONN_finished, &about);
		program_client_end(c, job, outcome, &about);
		return;
	}
	if (ending != ENDED_ITSELF)
		shutdown(c->fd, SHUT_WR);
	now = loop_now();
	slot_end(job->slot, outcome, now);
	lingering_add(&p->lingering, c->fd, now);
	lingering_look(&p->lingering, now);
}

/* Its child has sent it off. */
static void end_refused(struct programs *p)
{
	const struct errand *e = p->errand;
	struct program_client c = e->client;
	struct log_about about = {0};

	p->loop->served++;
	if (p->job->log_connections)
		traffic_measure(c.fd, false, &about);
	c.fd = -1;
	program_client_end(&c, p->job, e->outcome, &about);
	lingering_add_refused(&p->lingering, e->client.fd, loop_now());
	lingering_look(&p->lingering, loop_now());
	refuse_tell(p->loop, &e->entrant, e->outcome);
}

/* The program is not there any more, or cannot be executed: each client costs a line at most. */
static void tell_not_executed(const struct errand *e)
{
	static struct log_limit limit;

	if (log_limit_passes(&limit, 1000000))
		log_event(LOG_LEVEL_ERROR, MESSAGE_program_failed, NULL, "%s: %s", e->failed,
			  strerror(e->error));
}

/* No process for the next client, for want of something: tried again in a moment. */
static int pause_for(struct programs *p, const char *call, int errnum)
{
	static struct log_limit limit;

	if (errnum != EAGAIN && loop_failure(errnum) != FAILURE_WAIT) {
		log_event(LOG_LEVEL_ERROR, MESSAGE_worker_failed, NULL, "%s: %s", call,
			  strerror(errnum));
		return -1;
	}
	slot_count(p->job->slot, CONN_accept_errors);
	if (log_limit_passes(&limit, 60000000))
		log_event(LOG_LEVEL_WARNING, MESSAGE_descriptors_exhausted, NULL,
			  "%s: %s; trying again every 100 ms", call, strerror(errnum));
	supervisor_wait(&p->supervisor, loop_now() + 100000);
	return 0;
}

/* Without a client the child ends when it is told to, or cannot go on. */
static int none_taken(struct programs *p, const siginfo_t *info)
{
	const struct errand *e = p->errand;

	if (e->failed)
		return pause_for(p, e->failed, e->error);
	if (info->si_code == CLD_EXITED || p->supervisor.quit)
		return 0;
	/* It may have had a client that nobody knows of: with the worker its socket goes. */
	log_event(LOG_LEVEL_ERROR, MESSAGE_worker_failed, NULL,
		  "the process that waits for the next client was killed by SIG%s",
		  sigabbrev_np(info->si_status));
	return -1;
}

/* Before it is ended: that is what its process is doing. */
static void tell_late(const struct programs *p)
{
	const struct program_client *c = &p->errand->client;
	struct log_about about;

	traffic_measure(c->fd, false, &about);
	program_client_tell_timeout(c, p->job, p->supervisor.pid, &about);
}

/* One child, from its start to the end of its client. Returns 0, or -1 to end. */
static int serve_one(struct programs *p)
{
	struct supervisor *s = &p->supervisor;
	struct errand *e = p->errand;
	enum connection_field outcome;
	siginfo_t info;
	enum ending ending;

	*e = (struct errand){.client = {.fd = -1}, .outcome = CONN_finished};
	supervisor_forget_notice(s); /* of one whose end was seen first */
	s->pid = program_clone(program_errand_run, p, p->stack);
	if (s->pid < 0)
		return pause_for(p, "clone", errno);
	ending = wait_for_end(p);
	admit_end(p->loop, &e->entrant);
	/* At once: the client does not wait for what the program left behind. One that is told to
	 * end may still say so. */
	if (ending == ENDED_ITSELF && atomic_load(&e->taken))
		shutdown(e->client.fd, SHUT_WR);
	if (ending == ENDED_LATE)
		tell_late(p);
	supervisor_end(s, &info);
	if (!atomic_load(&e->taken))
		return none_taken(p, &info);
	if (e->outcome != CONN_finished) {
		end_refused(p);
		return 0;
	}
	if (e->failed)
		tell_not_executed(e);
	outcome = ending == ENDED_LATE ? CONN_timed_out
		  : e->failed          ? CONN_aborted_error
				       : supervisor_outcome(s, &info);
	end_connection(p, ending, outcome);
	return 0;
}

/* Before the worker leaves; unless it has to at once. */
static void finish_lingering(struct programs *p)
{
	struct lingering *l = &p->lingering;

	while (l->count > 0 && !p->supervisor.quit) {
		supervisor_wait(&p->supervisor, lingering_due(l));
		lingering_look(l, loop_now());
	}
}

int loop_programs(struct loop *loop)
{
	static struct programs p;
	int status = prepare(&p, loop);

	/* A child that was stopped by another than us has closed the listener for us too. */
	while (status == 0 && !loop_ends(loop) && !p.supervisor.leave && !p.errand->stopped)
		status = serve_one(&p);
	finish_lingering(&p);
	lingering_close(&p.lingering);
	fd_close(&p.ready);
	fd_close(&p.again);
	supervisor_close(&p.supervisor);
	return status;
}
