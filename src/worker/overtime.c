/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/process.h"
#include "board/seqlock.h"
#include "worker/loop.h"
#include "worker/overtime.h"
#include "worker/traffic.h"

enum doing { AT_WORK, WAITS_FOR_INPUT, WAITS_FOR_ROOM };

static struct {
	volatile uint64_t number; /* of the open connection; 0: none */
	volatile int fd;
	volatile sig_atomic_t came;
	uint64_t begin_usec;
	enum doing doing; /* when it came */
	struct log_about about;
	const struct worker_job *job;
} overtime = {.fd = -1}; /* not zeroes: on a page that a worker writes anyway */

/* The master's clock is ours; it looks when the time is over. */
#define EARLY_USEC UINT64_C(1000)

/* What whoever serves a client waits for, as the client's socket has it. */
static enum doing look(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};

	if (poll(&p, 1, 0) < 0 || (p.revents & POLLIN))
		return AT_WORK;
	return p.revents & POLLOUT ? WAITS_FOR_INPUT : WAITS_FOR_ROOM;
}

/* For the master, if it has to kill us. */
static void publish(uint64_t number)
{
	const struct log_about *about = &overtime.about;
	struct slot *slot = overtime.job->slot;

	atomic_store_explicit(&slot->late_in, about->counted ? about->bytes_in : UINT64_MAX,
			      RELAXED);
	atomic_store_explicit(&slot->late_out, about->counted ? about->bytes_out : UINT64_MAX,
			      RELAXED);
	atomic_store_explicit(&slot->late, number, memory_order_release);
}

static bool is_late(uint64_t number)
{
	return number != 0 && number == overtime.number &&
	       loop_now() - overtime.begin_usec + EARLY_USEC >=
		       overtime.job->connection_timeout_usec;
}

static void on_late(int signal, siginfo_t *info, void *context)
{
	uint64_t number = (uintptr_t)info->si_value.sival_ptr;
	int saved = errno, fd = overtime.fd;

	(void)signal;
	(void)context;
	if (info->si_code != SI_QUEUE)
		return; /* somebody else's */
	if (!is_late(number)) {
		(void)!send(overtime.job->answers, "", 1, MSG_NOSIGNAL);
		errno = saved;
		return;
	}
	overtime.came = 1;
	overtime.about = (struct log_about){0};
	if (fd >= 0) {
		overtime.doing = look(fd);
		traffic_measure(fd, false, &overtime.about);
	}
	publish(number);
	if (fd >= 0)
		shutdown(fd, SHUT_RDWR);
	errno = saved;
}

void overtime_open(const struct worker_job *job)
{
	/* Without RESTART what answers a datagram gets to know of it; a connection it is told by
	 * the socket. */
	struct sigaction action = {.sa_sigaction = on_late,
				   .sa_flags =
					   SA_SIGINFO | (job->type == SOCK_DGRAM ? 0 : SA_RESTART)};

	if (job->connection_timeout_usec == 0)
		return;
	overtime.job = job;
	sigaction(SIGALRM, &action, NULL);
}

void overtime_begin(int fd, uint64_t number, uint64_t now_usec)
{
	overtime.begin_usec = now_usec;
	overtime.fd = fd;
	overtime.came = 0;
	/* Last: volatile stores keep their order. */
	overtime.number = number;
}

bool overtime_came(void)
{
	return overtime.came != 0;
}

void overtime_end(void)
{
	overtime.number = 0;
}

/* ---- the log ---- */

const char *overtime_describe(char *text, const struct log_about *about)
{
	int n = snprintf(text, OVERTIME_TEXT_MAX, "%" PRIu64 ".%03" PRIu64 " s",
			 about->duration_usec / 1000000, about->duration_usec / 1000 % 1000);

	if (about->counted)
		snprintf(text + n, OVERTIME_TEXT_MAX - (size_t)n,
			 ", %" PRIu64 " bytes in, %" PRIu64 " out", about->bytes_in,
			 about->bytes_out);
	return text;
}

static void tell(const struct sockaddr *peer, socklen_t len, const char *doing)
{
	char client[ADDRESS_TEXT_MAX], text[OVERTIME_TEXT_MAX];
	struct log_about about = overtime.about;

	about.source = address_format_peer(peer, len, client);
	about.timed = true;
	about.duration_usec = loop_now() - overtime.begin_usec;
	log_event(LOG_LEVEL_WARNING, MESSAGE_connection_timeout, &about,
		  "client %s was ended by connection_timeout: %s; its worker %s", client,
		  overtime_describe(text, &about), doing);
}

void overtime_tell(const struct preforkd_client *client)
{
	static const char *const doing[] = {
		[AT_WORK] = "was at work",
		[WAITS_FOR_INPUT] = "was waiting for input",
		[WAITS_FOR_ROOM] = "was waiting for it to take output",
	};

	tell(client->peer, client->peer_len, doing[overtime.doing]);
}

void overtime_tell_datagram(const struct preforkd_datagram *datagram)
{
	overtime.about.counted = true;
	overtime.about.bytes_in = datagram->size;
	tell(datagram->peer, datagram->peer_len, "was at work");
}

void overtime_tell_program(const struct worker_job *job, pid_t pid, const struct sockaddr *peer,
			   socklen_t len, uint64_t begun_usec, struct log_about *about)
{
	char client[ADDRESS_TEXT_MAX], text[OVERTIME_TEXT_MAX];
	const char *doing = process_doing(pid);

	if (!doing)
		doing = kill(pid, 0) < 0 && errno == ESRCH ? "had ended" : "had not ended";
	about->source = address_format_peer(peer, len, client);
	about->timed = true;
	about->duration_usec = loop_now() - begun_usec;
	log_event(LOG_LEVEL_WARNING, MESSAGE_program_timeout, about,
		  "%s[%d] for client %s was ended after its connection_timeout: %s; it %s",
		  job->program->argv[0], (int)pid, client, overtime_describe(text, about), doing);
}
