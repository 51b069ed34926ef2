/* SPDX-License-Identifier: ISC */
/*
 * A deliberately wrong worker, for the loss test alone: its stop signal ends it at once when it
 * looks idle. Between the kernel's handing over a client and the worker's noting that it has one,
 * it looks idle. The loss test must see that, or it would not see any other loss either.
 *
 * It takes the place of src/worker/stop.c; slot_begin() and slot_end() are wrapped by the linker.
 */
#include <config.h>

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#include "board/write.h"
#include "worker/stop.h"

static volatile sig_atomic_t busy, came;

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker's --wrap prescribes these names. */

void __real_slot_begin(struct slot *slot, const struct sockaddr *peer, socklen_t len, uint64_t now);
void __wrap_slot_begin(struct slot *slot, const struct sockaddr *peer, socklen_t len, uint64_t now);
void __real_slot_end(struct slot *slot, enum connection_field outcome, uint64_t now);
void __wrap_slot_end(struct slot *slot, enum connection_field outcome, uint64_t now);

void __wrap_slot_begin(struct slot *slot, const struct sockaddr *peer, socklen_t len, uint64_t now)
{
	busy = 1;
	__real_slot_begin(slot, peer, len, now);
}

void __wrap_slot_end(struct slot *slot, enum connection_field outcome, uint64_t now)
{
	__real_slot_end(slot, outcome, now);
	busy = 0;
	if (came)
		_exit(0);
}

/* NOLINTEND(bugprone-reserved-identifier) */

static void on_stop(int signal)
{
	(void)signal;
	if (!busy)
		_exit(0);
	came = 1;
}

int stop_prepare(int listener, struct error *err)
{
	const struct sigaction action = {.sa_handler = on_stop, .sa_flags = SA_RESTART};

	(void)listener;
	(void)err;
	signal(SIGHUP, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGTERM, &action, NULL);
	return 0;
}

int stop_prepare_programs(int listener, struct error *err)
{
	return stop_prepare(listener, err);
}

void stop_default_signals(void)
{
}

void stop_second(int again)
{
	(void)again;
}

void stop_waiting(int before)
{
	(void)before;
}

void stop_arm(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

bool stop_came(void)
{
	return came != 0;
}
