/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#include "worker/stop.h"

static struct {
	int listener;
	int again;  /* another descriptor of it, or -1 */
	int before; /* waited for before accept(), or -1 */
	int dead;
	volatile sig_atomic_t came;
} stop = {-1, -1, -1, -1, 0}; /* not zeroes: so it lies on a page that a worker writes anyway */

static void on_stop(int signal)
{
	int saved = errno;

	(void)signal;
	if (stop.came && stop.again >= 0)
		dup3(stop.dead, stop.again, O_CLOEXEC);
	stop.came = 1;
	dup3(stop.dead, stop.listener, O_CLOEXEC);
	if (stop.before >= 0)
		dup3(stop.dead, stop.before, O_CLOEXEC);
	errno = saved;
}

static void on_nothing(int signal)
{
	(void)signal;
}

static int make_dead(int listener, struct error *err)
{
	/* A stream socket: accept() and recvmsg() on it fail with EINVAL. A dead datagram socket
	 * would wait for ever. */
	stop.dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (stop.dead < 0)
		return error_set(err, EX_OSERR, "socket: %s", strerror(errno));
	stop.listener = listener;
	return 0;
}

/* What pkill, a terminal or a careless script sends to workers as well does no harm. */
static const struct {
	int signal;
	void (*handler)(int);
} dispositions[] = {
	{SIGTERM, on_stop}, {SIGHUP, SIG_IGN},  {SIGINT, SIG_IGN},  {SIGQUIT, SIG_IGN},
	{SIGUSR1, SIG_IGN}, {SIGUSR2, SIG_IGN}, {SIGPIPE, SIG_IGN}, {SIGWINCH, SIG_IGN},
	{SIGCHLD, SIG_DFL}, {SIGALRM, SIG_DFL}, /* unless overtime.c has it */
};

/*
 * Whoever started the daemon may have had some ignored, as systemd has PIPE, and what is ignored
 * stays ignored across an execve. posix_spawn(3) leaves two ignored that libc keeps for itself and
 * does not let us touch.
 */
void stop_default_signals(void)
{
	static const unsigned long by_default[8];

	for (int i = 1; i < NSIG; i++)
		syscall(SYS_rt_sigaction, i, by_default, NULL, (size_t)(NSIG / 8));
}

/*
 * A worker of programs has every signal blocked. Its child, which waits in accept(), has them open:
 * the stop is URG there, which is ignored by default, so that a program which has just been
 * executed is not harmed. The others come from pkill and a terminal; handlers that do nothing
 * become the default by execve(2), ignored ones would stay ignored.
 */
static const struct {
	int signal;
	void (*handler)(int);
} of_programs[] = {
	{SIGURG, on_stop},     {SIGTERM, on_stop},    {SIGHUP, on_nothing},
	{SIGINT, on_nothing},  {SIGQUIT, on_nothing}, {SIGUSR1, on_nothing},
	{SIGUSR2, on_nothing}, {SIGPIPE, on_nothing}, {SIGALRM, on_nothing},
};

int stop_prepare_programs(int listener, struct error *err)
{
	struct sigaction action = {.sa_flags = SA_RESTART};

	sigemptyset(&action.sa_mask);
	stop_default_signals();
	if (make_dead(listener, err) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(of_programs) / sizeof(of_programs[0]); i++) {
		action.sa_handler = of_programs[i].handler;
		sigaction(of_programs[i].signal, &action, NULL);
	}
	return 0;
}

int stop_prepare(int listener, struct error *err)
{
	if (make_dead(listener, err) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(dispositions) / sizeof(dispositions[0]); i++) {
		struct sigaction action = {.sa_handler = dispositions[i].handler,
					   .sa_flags = SA_RESTART};

		sigaction(dispositions[i].signal, &action, NULL);
	}
	return 0;
}

void stop_second(int again)
{
	stop.again = again;
}

void stop_waiting(int before)
{
	stop.before = before;
}

void stop_arm(void)
{
	sigset_t none = {0}; /* empty: sigemptyset(3) is another page for every worker */

	sigprocmask(SIG_SETMASK, &none, NULL);
}

bool stop_came(void)
{
	return stop.came != 0;
}
