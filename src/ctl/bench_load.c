/* SPDX-License-Identifier: ISC */
/* The processes of the load, and the one that waits for them and shows the progress. */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl/bench.h"
#include "ctl/client.h"

/* Until the first request: all processes are there by then. */
#define START_NSEC (20 * NSEC_PER_SEC / 1000)
/* Of one process, beside its clients': standard streams, epoll, what was inherited. */
#define DESCRIPTORS 32

struct load {
	const struct bench_settings *settings;
	struct bench_shared *shared;
	size_t shared_size;
	pid_t pids[BENCH_PROCESSES_MAX];
	unsigned running;
	sigset_t signals;        /* that end it, and SIGCHLD */
	uint64_t interrupted_at; /* 0: not */
	uint64_t shown, shown_at;
};

static int raise_descriptors(const struct bench_settings *settings, struct error *err)
{
	uint64_t needed = settings->connections / settings->processes + 1 + DESCRIPTORS;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return error_set(err, EX_OSERR, "getrlimit: %s", strerror(errno));
	if (limit.rlim_max < needed)
		return error_set(
			err, EX_OSERR,
			"%llu clients need %llu descriptors in each process, and the limit is "
			"%llu: fewer clients, more --processes, or a higher ulimit -n",
			(unsigned long long)settings->connections, (unsigned long long)needed,
			(unsigned long long)limit.rlim_max);
	if (limit.rlim_cur >= needed)
		return 0;
	limit.rlim_cur = needed;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		return error_set(err, EX_OSERR, "setrlimit: %s", strerror(errno));
	return 0;
}

static int share(struct load *load, struct error *err)
{
	load->shared_size =
		sizeof(*load->shared) + load->settings->processes * sizeof(load->shared->stats[0]);
	load->shared = mmap(NULL, load->shared_size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (load->shared == MAP_FAILED)
		return error_set(err, EX_OSERR, "shared memory: %s", strerror(errno));
	load->shared->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (load->shared->stop_fd >= 0)
		return 0;
	error_set(err, EX_OSERR, "eventfd: %s", strerror(errno));
	munmap(load->shared, load->shared_size);
	return -1;
}

static _Noreturn void child(const struct load *load, unsigned number, pid_t parent)
{
	struct error err;

	/* A load that nobody can end must not go on. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	/* The kernel's own tolerance of 50 us would be seen in every request's latency. */
	prctl(PR_SET_TIMERSLACK, 1);
	if (bench_loop(load->settings, load->shared, number, &err) < 0 &&
	    !atomic_exchange(&load->shared->broken, true))
		load->shared->error = err;
	_exit(0);
}

/* Makes all processes leave their loops. */
static void stop(const struct load *load)
{
	uint64_t one = 1;

	atomic_store(&load->shared->stop, true);
	if (write(load->shared->stop_fd, &one, sizeof(one)) < 0)
		return; /* it is readable already */
}

static int start(struct load *load, struct error *err)
{
	const struct bench_settings *s = load->settings;
	pid_t parent = getpid();

	load->shared->begin = bench_now() + START_NSEC;
	load->shared->end = s->duration_nsec ? load->shared->begin + s->duration_nsec : UINT64_MAX;
	load->shown_at = load->shared->begin;
	for (unsigned i = 0; i < s->processes; i++) {
		pid_t pid = fork();

		if (pid == 0)
			child(load, i, parent);
		if (pid < 0)
			return error_set(err, EX_OSERR, "fork: %s", strerror(errno));
		load->pids[i] = pid;
		load->running++;
	}
	return 0;
}

static void sum_up(const struct load *load, struct bench_stats *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (unsigned i = 0; i < load->settings->processes; i++)
		bench_stats_merge(sum, &load->shared->stats[i]);
}

static void show(struct load *load, uint64_t now)
{
	struct bench_stats sum;

	sum_up(load, &sum);
	bench_progress(&sum, load->shown, (double)(now - load->shown_at) / (double)NSEC_PER_SEC,
		       (double)(now - load->shared->begin) / (double)NSEC_PER_SEC);
	load->shown = sum.good;
	load->shown_at = now;
}

/* A process that ended otherwise than by itself has no result. */
static int reap(struct load *load, struct error *err)
{
	int result = 0, status;

	for (unsigned i = 0; i < load->settings->processes; i++) {
		if (load->pids[i] == 0 || waitpid(load->pids[i], &status, WNOHANG) == 0)
			continue;
		load->pids[i] = 0;
		load->running--;
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
			result = error_set(err, EX_OSERR, "a process of the load was ended: %s",
					   WIFSIGNALED(status) ? strsignal(WTERMSIG(status))
							       : "exit");
	}
	return result;
}

/* Until the next signal, or the next second's progress. Returns the signal, or 0. */
static int wait_signal(const struct load *load)
{
	uint64_t now = bench_now(), at = load->shown_at + NSEC_PER_SEC;
	uint64_t left = at > now ? at - now : 0;
	struct timespec time = {.tv_sec = (time_t)(left / NSEC_PER_SEC),
				.tv_nsec = (long)(left % NSEC_PER_SEC)};
	int number = sigtimedwait(&load->signals, NULL, &time);

	return number < 0 ? 0 : number;
}

static void second_over(struct load *load)
{
	uint64_t now = bench_now();

	if (now < load->shown_at + NSEC_PER_SEC)
		return;
	if (load->settings->progress)
		show(load, now);
	else
		load->shown_at = now;
}

static int attend(struct load *load, struct error *err)
{
	int result = 0;

	while (load->running > 0) {
		int number = wait_signal(load);

		if (number == SIGCHLD && reap(load, err) < 0)
			result = -1;
		if (number != 0 && number != SIGCHLD && load->interrupted_at == 0)
			load->interrupted_at = bench_now();
		if (load->interrupted_at || result < 0 || atomic_load(&load->shared->broken) ||
		    atomic_load(&load->shared->stop))
			stop(load);
		second_over(load);
	}
	return result;
}

/* What nobody waits for any more, when it could not all be started. */
static void kill_all(struct load *load)
{
	for (unsigned i = 0; i < load->settings->processes; i++)
		if (load->pids[i]) {
			kill(load->pids[i], SIGKILL);
			waitpid(load->pids[i], NULL, 0);
		}
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static double busiest(const struct load *load)
{
	double most = 0;

	for (unsigned i = 0; i < load->settings->processes; i++) {
		const struct bench_stats *stats = &load->shared->stats[i];
		double busy = stats->wall_nsec ? (double)(stats->cpu_nsec + stats->ready_nsec) /
							 (double)stats->wall_nsec
					       : 0;
		if (busy > most)
			most = busy;
	}
	return most < 1 ? most : 1;
}

static void conclude(const struct load *load, struct bench_result *result)
{
	const struct bench_settings *s = load->settings;
	const struct bench_shared *shared = load->shared;
	uint64_t end = shared->end;

	sum_up(load, &result->stats);
	result->interrupted = load->interrupted_at != 0;
	if (load->interrupted_at)
		end = least(end, load->interrupted_at);
	if (s->rate.count)
		result->due = bench_due_before(s->rate, shared->begin, end);
	if (s->count) {
		result->due = least(result->due, s->count);
		if (result->stats.begun == s->count)
			end = least(end, result->stats.last_nsec);
	}
	result->seconds =
		end > shared->begin ? (double)(end - shared->begin) / (double)NSEC_PER_SEC : 0;
	if (result->due > result->stats.begun)
		result->not_sent = result->due - result->stats.begun;
	result->busy = busiest(load);
}

static int verdict(const struct load *load, struct bench_result *result, struct error *err)
{
	const struct bench_shared *shared = load->shared;
	int errnum = atomic_load(&shared->hopeless);

	if (shared->broken) {
		*err = shared->error;
		return -1;
	}
	if (errnum) {
		struct client client = {
			.server = &load->settings->endpoints[atomic_load(&shared->endpoint)]};
		return client_fail(&client, errnum, err);
	}
	conclude(load, result);
	return 0;
}

int bench_load(const struct bench_settings *settings, struct bench_result *result,
	       struct error *err)
{
	struct load load = {.settings = settings};
	int code;

	memset(result, 0, sizeof(*result));
	if (raise_descriptors(settings, err) < 0 || share(&load, err) < 0)
		return -1;
	sigemptyset(&load.signals);
	sigaddset(&load.signals, SIGCHLD);
	sigaddset(&load.signals, SIGINT);
	sigaddset(&load.signals, SIGTERM);
	sigaddset(&load.signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &load.signals, NULL);
	code = start(&load, err);
	if (code == 0)
		code = attend(&load, err);
	kill_all(&load);
	if (code == 0)
		code = verdict(&load, result, err);
	fd_close(&load.shared->stop_fd);
	munmap(load.shared, load.shared_size);
	return code;
}
