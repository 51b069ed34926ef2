/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/address.h"
#include "base/fd.h"
#include "board/write.h"
#include "worker/overtime.h"
#include "worker/program_datagram.h"
#include "worker/program_start.h"
#include "worker/stop.h"

#define NEVER UINT64_MAX

/* What an UDP header can say, less the headers. */
#define UDP4_MAX (65535 - 20 - 8)
#define UDP6_MAX (65535 - 8)

#define LOST "a datagram is lost"

union place {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

static struct {
	const struct worker_job *job;
	union place own; /* what the listener is bound to */
	socklen_t own_len;
	struct supervisor supervisor;
	struct program_start start;
	struct program_environment environment;
} context;

/* One datagram on its way through a program. */
struct errand {
	const struct preforkd_datagram *datagram;
	int in, out; /* our ends of the program's stdin and stdout; -1: closed */
	size_t written;
	char *reply;
	size_t size, room;
	bool too_long;
	uint64_t begun_usec, deadline;
};

/* ---- the pipes ---- */

/* Our end does not wait. */
static int open_pipe(int fds[2], int ours)
{
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	return fcntl(fds[ours], F_SETFL, O_NONBLOCK);
}

static void write_request(struct errand *e)
{
	const char *data = e->datagram->data;
	ssize_t n = write(e->in, data + e->written, e->datagram->size - e->written);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	e->written += n > 0 ? (size_t)n : 0;
	/* One that does not want it all may answer all the same. */
	if (n < 0 || e->written == e->datagram->size)
		fd_close(&e->in);
}

/* Returns true while there may be more at once. */
static bool read_reply(struct errand *e)
{
	char more;
	bool full = e->size == e->room;
	ssize_t n =
		full ? read(e->out, &more, 1) : read(e->out, e->reply + e->size, e->room - e->size);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n > 0 && !full) {
		e->size += (size_t)n;
		return true;
	}
	e->too_long = n > 0;
	fd_close(&e->out);
	return false;
}

/* ---- the program ---- */

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static int until(uint64_t when)
{
	uint64_t now;

	if (when == NEVER)
		return -1;
	now = loop_now();
	return now >= when ? 0 : (int)sooner((when - now + 999) / 1000, 3600000);
}

/* Waits for something to do, and does what is about the pipes. */
static void exchange(struct errand *e, const struct supervisor *s)
{
	struct pollfd fds[] = {
		{.fd = s->signals, .events = POLLIN},
		{.fd = s->said.read_fd, .events = POLLIN},
		{.fd = e->in, .events = POLLOUT},
		{.fd = e->out, .events = POLLIN},
	};

	if (poll(fds, 4, until(sooner(e->deadline, program_stderr_due(&s->said)))) <= 0)
		return;
	if (fds[2].revents)
		write_request(e);
	if (fds[3].revents)
		read_reply(e);
}

/* Returns what ended it: SUPERVISED_ENDED by itself, SUPERVISED_END on order, SUPERVISED_TIMEOUT.
 */
static enum supervised run(struct errand *e)
{
	struct supervisor *s = &context.supervisor;
	enum supervised what;

	for (;;) {
		exchange(e, s);
		what = supervisor_wait(s, 0);
		if (what == SUPERVISED_ENDED || what == SUPERVISED_END)
			return what;
		if (what == SUPERVISED_TIMEOUT && e->deadline != NEVER && loop_now() >= e->deadline)
			return what;
	}
}

static void tell(const struct errand *e, enum log_message message, pid_t pid, const char *what)
{
	char peer[ADDRESS_TEXT_MAX];
	const struct log_about about = {
		.source = address_format_peer(e->datagram->peer, e->datagram->peer_len, peer)};

	log_event(LOG_LEVEL_WARNING, message, &about, "%s[%d] for client %s %s",
		  context.job->program->argv[0], (int)pid, peer, what);
}

static void tell_late(const struct errand *e, pid_t pid)
{
	struct log_about about = {.counted = true, .bytes_in = e->datagram->size};

	overtime_tell_program(context.job, pid, e->datagram->peer, e->datagram->peer_len,
			      e->begun_usec, &about);
}

/* Returns 0, or -1 with errno as answer() does. */
static int supervise(struct errand *e)
{
	struct supervisor *s = &context.supervisor;
	pid_t pid = s->pid;
	siginfo_t info;
	bool finished;
	enum supervised ending = run(e);

	if (ending == SUPERVISED_TIMEOUT)
		tell_late(e, pid);
	while (ending == SUPERVISED_ENDED && e->out >= 0 && read_reply(e))
		;
	supervisor_end(s, &info);
	if (ending == SUPERVISED_TIMEOUT) {
		errno = EAGAIN;
		return -1;
	}
	if (e->too_long)
		tell(e, MESSAGE_none, pid, "wrote more than fits into a datagram: no reply");
	finished = supervisor_outcome(s, &info) == CONN_finished;
	errno = EPROTO;
	return finished && ending == SUPERVISED_ENDED && !e->too_long ? 0 : -1;
}

/* Returns 0 with a program that runs, or -1 after a line in the log. */
static int execute(const int in[2], const int out[2])
{
	struct supervisor *s = &context.supervisor;
	int err_fd = s->said.write_fd >= 0 ? s->said.write_fd : out[1];
	siginfo_t info;
	pid_t ended = -1;
	pid_t pid = program_start(&context.start, in[0], out[1], err_fd, context.environment.list,
				  &ended);

	s->pid = pid == 0 ? ended : pid;
	if (pid == 0)
		supervisor_end(s, &info);
	else if (pid < 0)
		program_start_tell_shortage(context.job, "clone", errno, LOST);
	return pid > 0 ? 0 : -1;
}

static int start(struct errand *e)
{
	int in[2] = {-1, -1}, out[2] = {-1, -1}, result = -1;

	if (open_pipe(in, 1) < 0 || open_pipe(out, 0) < 0)
		program_start_tell_shortage(context.job, "pipe", errno, LOST);
	else
		result = execute(in, out);
	fd_close(&in[0]);
	fd_close(&out[1]);
	e->in = in[1];
	e->out = out[0];
	errno = EIO;
	return result;
}

static size_t most(int family, size_t room)
{
	size_t limit = family == AF_INET ? UDP4_MAX : family == AF_INET6 ? UDP6_MAX : room;

	return limit < room ? limit : room;
}

/* What came for a program that had ended already. */
static void forget_orders(void)
{
	while (supervisor_wait(&context.supervisor, 0) != SUPERVISED_TIMEOUT)
		;
}

/* With a wildcard address only the datagram says which one it came to. */
static socklen_t find_local(union place *local, struct msghdr *msg)
{
	socklen_t len = context.own_len;

	*local = context.own;
	for (struct cmsghdr *c = msg ? CMSG_FIRSTHDR(msg) : NULL; c; c = CMSG_NXTHDR(msg, c)) {
		const struct in_pktinfo *in = (const void *)CMSG_DATA(c);
		const struct in6_pktinfo *in6 = (const void *)CMSG_DATA(c);

		/* Of an IPv4 datagram through a dual-stack socket both are there, IPv4 last. */
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
			local->in6.sin6_addr = in6->ipi6_addr;
		if (c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_PKTINFO)
			continue;
		local->in = (struct sockaddr_in){.sin_family = AF_INET,
						 .sin_port = context.own.in.sin_port,
						 .sin_addr = in->ipi_spec_dst};
		len = sizeof(local->in);
	}
	return local->any.sa_family == AF_INET6 ? address_unmap(&local->any, len) : len;
}

ssize_t program_datagram_answer(const struct preforkd_datagram *datagram, struct msghdr *msg,
				void *reply, size_t room)
{
	uint64_t timeout = context.job->program->connection_timeout_usec;
	struct errand e = {
		.datagram = datagram,
		.in = -1,
		.out = -1,
		.reply = reply,
		.room = most(datagram->peer->sa_family, room),
		.begun_usec = loop_now(),
	};
	union place local;
	socklen_t local_len = find_local(&local, msg);
	int result;

	e.deadline = timeout ? e.begun_usec + timeout : NEVER;
	forget_orders();
	program_environment_fill(&context.environment, SOCK_DGRAM, -1, datagram->peer,
				 datagram->peer_len, &local.any, local_len, 0);
	result = start(&e) < 0 ? -1 : supervise(&e);
	fd_close(&e.in);
	fd_close(&e.out);
	return result < 0 ? -1 : (ssize_t)e.size;
}

/* ---- the worker ---- */

void program_datagram_idle(bool idle)
{
	/* As long as it is ignored, the children of programs need nobody to wait for them. */
	struct sigaction action = {.sa_handler = idle ? SIG_IGN : SIG_DFL};
	int saved = errno;
	sigset_t all;

	sigemptyset(&action.sa_mask);
	sigaction(SIGCHLD, &action, NULL);
	if (idle && context.supervisor.leave)
		kill(getpid(), SIGTERM);
	sigfillset(&all);
	if (idle)
		stop_arm();
	else
		sigprocmask(SIG_SETMASK, &all, NULL);
	errno = saved;
}

int program_datagram_open(const struct worker_job *job)
{
	struct error err;

	context.job = job;
	context.own_len = sizeof(context.own);
	if (getsockname(job->listener, &context.own.any, &context.own_len) < 0)
		context.own_len = 0;
	close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	program_environment_init(&context.environment, job->program);
	if (program_start_open(&context.start, job) < 0)
		error_set(&err, 0, "mmap: %s", strerror(errno));
	else if (supervisor_open(&context.supervisor, job, &err) == 0)
		return 0;
	log_event(LOG_LEVEL_ERROR, MESSAGE_worker_failed, NULL, "%s", err.text);
	return -1;
}

void program_datagram_close(void)
{
	supervisor_close(&context.supervisor);
}
