/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "worker/waiting.h"

/* Both only wake, and may come late: nobody reads them from the signalfd. */
#define SIGNAL_INPUT SIGIO
#define SIGNAL_TIMER SIGURG

static struct {
	int listener; /* the descriptor that accept() is called with */
	int kept;     /* the listener itself */
	int dead;
	timer_t timer;
	bool has_timer;
	volatile sig_atomic_t came; /* a bit for each signal */
} waiting = {-1, -1, -1, NULL, false, 0};

static const int signals[] = {SIGTERM, SIGCHLD, SIGVTALRM, SIGALRM, SIGNAL_INPUT, SIGNAL_TIMER};
static const int passed_on[] = {SIGTERM, SIGCHLD, SIGVTALRM};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void on_signal(int signal)
{
	int saved = errno;

	waiting.came |= 1 << signal;
	dup3(waiting.dead, waiting.listener, O_CLOEXEC);
	errno = saved;
}

static int open_all(int listener)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGNAL_TIMER};
	/* RESTART: on the dead socket, which fails otherwise than for a signal. */
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	waiting.listener = listener;
	waiting.kept = fcntl(listener, F_DUPFD_CLOEXEC, 3);
	waiting.dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	waiting.has_timer = timer_create(CLOCK_MONOTONIC, &event, &waiting.timer) == 0;
	if (waiting.kept < 0 || waiting.dead < 0 || !waiting.has_timer)
		return -1;
	sigfillset(&action.sa_mask);
	for (size_t i = 0; i < COUNT(signals); i++)
		sigaction(signals[i], &action, NULL);
	return 0;
}

int waiting_open(int listener, struct error *err)
{
	if (open_all(listener) == 0)
		return 0;
	error_set(err, EX_OSERR, "preparing to wait for clients: %s", strerror(errno));
	waiting_close();
	return -1;
}

void waiting_close(void)
{
	fd_close(&waiting.kept);
	fd_close(&waiting.dead);
	if (waiting.has_timer)
		timer_delete(waiting.timer);
	waiting.has_timer = false;
}

int waiting_listener(void)
{
	return waiting.kept;
}

int waiting_watch(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETOWN, getpid()) < 0)
		return -1;
	return fcntl(fd, F_SETFL, flags | O_ASYNC);
}

static void set_timer(uint64_t until)
{
	const struct itimerspec when = {.it_value = {.tv_sec = (time_t)(until / 1000000),
						     .tv_nsec = (long)(until % 1000000) * 1000}};

	timer_settime(waiting.timer, TIMER_ABSTIME, &when, NULL);
}

static void choose_signals(sigset_t *set, bool input)
{
	sigemptyset(set);
	for (size_t i = 0; i < COUNT(signals); i++)
		if (input || signals[i] != SIGNAL_INPUT)
			sigaddset(set, signals[i]);
}

/* They are blocked: whoever reads them finds them as if they had just come. */
static void pass_on(void)
{
	for (size_t i = 0; i < COUNT(passed_on); i++)
		if (waiting.came & 1 << passed_on[i])
			kill(getpid(), passed_on[i]);
}

int waiting_accept(struct sockaddr *peer, socklen_t *len, bool *input, uint64_t until)
{
	sigset_t set;
	int fd, errnum;

	choose_signals(&set, *input);
	if (waiting.came)
		dup3(waiting.kept, waiting.listener, O_CLOEXEC);
	waiting.came = 0;
	if (until != UINT64_MAX)
		set_timer(until > 0 ? until : 1);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	fd = accept4(waiting.listener, peer, len, SOCK_CLOEXEC);
	errnum = errno;
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (waiting.came)
		pass_on();
	*input = waiting.came & 1 << SIGNAL_INPUT;
	errno = fd < 0 && waiting.came ? EINTR : errnum;
	return fd;
}
