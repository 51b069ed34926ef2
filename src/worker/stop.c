/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "worker/stop.h"

static struct {
	int listener;
	int dead;
	volatile sig_atomic_t came;
} stop = {-1, -1, 0}; /* not zeroes: so it lies on a page that a worker writes anyway */

static void on_stop(int signal)
{
	int saved = errno;

	(void)signal;
	stop.came = 1;
	dup2(stop.dead, stop.listener);
	errno = saved;
}

/* What pkill, a terminal or a careless script sends to workers as well does no harm. */
static const struct {
	int signal;
	void (*handler)(int);
} dispositions[] = {
	{SIGTERM, on_stop}, {SIGHUP, SIG_IGN},  {SIGINT, SIG_IGN},  {SIGQUIT, SIG_IGN},
	{SIGUSR1, SIG_IGN}, {SIGUSR2, SIG_IGN}, {SIGPIPE, SIG_IGN}, {SIGWINCH, SIG_IGN},
	{SIGCHLD, SIG_DFL}, {SIGALRM, SIG_DFL},
};

int stop_prepare(int listener, struct error *err)
{
	/* A stream socket: accept() and recvmsg() on it fail with EINVAL. A dead datagram socket
	 * would wait for ever. */
	stop.dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (stop.dead < 0)
		return error_set(err, EX_OSERR, "socket: %s", strerror(errno));
	stop.listener = listener;
	for (size_t i = 0; i < sizeof(dispositions) / sizeof(dispositions[0]); i++) {
		struct sigaction action = {.sa_handler = dispositions[i].handler,
					   .sa_flags = SA_RESTART};

		sigemptyset(&action.sa_mask);
		sigaction(dispositions[i].signal, &action, NULL);
	}
	return 0;
}

void stop_arm(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

bool stop_came(void)
{
	return stop.came != 0;
}
