/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/title.h"
#include "board/read.h"
#include "master/crew.h"
#include "master/load.h"
#include "master/notify.h"
#include "master/signals.h"
#include "master/transaction.h"

#define STATUS_USEC UINT64_C(1000000)

uint64_t master_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint32_t master_random(struct master *m)
{
	/* A Weyl sequence with a mixer: for jitter only. */
	uint32_t x = m->random += UINT32_C(0x9e3779b9);

	x = (x ^ x >> 16) * UINT32_C(0x85ebca6b);
	return x ^ x >> 13;
}

/* ---- the step: everything that is due ---- */

static bool crew_is_done(const struct crew *crew)
{
	return crew->state == CREW_LEAVING && crew->worker_count == 0;
}

/* Counters go on when a pool is replaced: by service and address it is the same one. */
static bool record_is_shared(const struct master *m, const struct crew *crew)
{
	const struct transaction *t = m->transaction;
	unsigned users = 0;

	for (size_t i = 0; i < m->crew_count; i++)
		users += m->crews[i]->board == crew->board;
	for (size_t i = 0; t && i < t->crew_count; i++)
		users += t->crews[i]->board == crew->board;
	return users > 1;
}

/* A reload under way may take its listener over: until that is decided it stays. */
static bool is_compared_with(const struct master *m, const struct crew *crew)
{
	const struct transaction *t = m->transaction;

	for (size_t i = 0; t && i < t->old_count; i++)
		if (t->old[i] == crew)
			return true;
	return false;
}

static void remove_done(struct master *m)
{
	size_t i = 0;

	while (i < m->crew_count) {
		struct crew *crew = m->crews[i];

		if (!crew_is_done(crew) || is_compared_with(m, crew)) {
			i++;
			continue;
		}
		if (!record_is_shared(m, crew))
			board_pool_close(&m->board, crew->board);
		crew_free(crew);
		memmove(&m->crews[i], &m->crews[i + 1],
			(--m->crew_count - i) * sizeof(struct crew *));
	}
}

static void end_recycle(struct master *m, int failed, const char *text)
{
	m->recycling = false;
	log_line(failed ? LOG_LEVEL_ERROR : LOG_LEVEL_NOTICE, "recycle: %s", text);
	board_verdict_finish(&m->board, VERDICT_RECYCLE, failed, text);
}

static void step_recycle(struct master *m)
{
	unsigned old = 0;

	for (size_t i = 0; m->recycling && i < m->crew_count; i++) {
		struct crew *crew = m->crews[i];

		if (crew->state != CREW_SERVING)
			continue;
		old += crew->counts.old;
		if (crew->counts.old == 0 || !crew_is_degraded(crew))
			continue;
		for (size_t j = 0; j < m->crew_count; j++)
			crew_recycle_undo(m->crews[j]);
		end_recycle(m, 1,
			    "new workers die before their first connection; the old ones stay");
	}
	if (m->recycling && old == 0)
		end_recycle(m, 0, "every worker was replaced");
}

static void step(struct master *m)
{
	uint64_t now = master_now(), next = POOL_NEVER, at;

	for (size_t i = 0; i < m->crew_count; i++) {
		crew_look(m->crews[i]);
		at = crew_step(m->crews[i], now);
		next = at < next ? at : next;
	}
	at = transaction_step(m, now);
	next = at < next ? at : next;
	remove_done(m);
	step_recycle(m);
	if (m->stopping && m->crew_count == 0)
		sd_event_exit(m->event, m->exit_code);
	if (next != POOL_NEVER)
		master_step_at(m, next);
}

static int on_step(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	step(userdata);
	return 0;
}

void master_step_at(struct master *m, uint64_t usec)
{
	uint64_t current;
	int enabled;

	if (sd_event_source_get_enabled(m->step_timer, &enabled) >= 0 && enabled != SD_EVENT_OFF &&
	    sd_event_source_get_time(m->step_timer, &current) >= 0 && current <= usec)
		return;
	sd_event_source_set_time(m->step_timer, usec);
	sd_event_source_set_enabled(m->step_timer, SD_EVENT_ONESHOT);
}

/* ---- what happens ---- */

static int on_wake(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	char waste[4096];

	(void)source;
	(void)events;
	(void)!read(fd, waste, sizeof(waste));
	master_step_at(userdata, 0);
	return 0;
}

static int on_status(sd_event_source *source, uint64_t usec, void *userdata)
{
	notify_status(userdata);
	sd_event_source_set_time(source, usec + STATUS_USEC);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

void master_stop(struct master *m, const char *reason)
{
	bool again = m->stopping;

	log_notice("%s: %s", reason, again ? "stopping at once" : "stopping");
	if (!again) {
		m->stopping = true;
		board_verdict_begin(&m->board, VERDICT_STOP);
		board_set_state(&m->board, MASTER_STOPPING);
		notify_stopping(m);
	}
	if (m->transaction)
		transaction_abort(m, EX_TEMPFAIL, "preforkd stops");
	if (m->recycling)
		end_recycle(m, 1, "preforkd stops");
	for (size_t i = 0; i < m->crew_count; i++) {
		if (again)
			crew_kill(m->crews[i]);
		else
			crew_drain(m->crews[i]);
	}
	master_step_at(m, 0);
}

/* ---- begin and end ---- */

static int add_sources(struct master *m)
{
	sd_event_source *source;
	int r = sd_event_add_time(m->event, &m->step_timer, CLOCK_MONOTONIC, 0, 1, on_step, m);

	if (r >= 0)
		r = sd_event_add_io(m->event, &source, m->wake[0], EPOLLIN, on_wake, m);
	if (r >= 0)
		r = signals_add(m);
	if (r >= 0 && getenv("NOTIFY_SOCKET"))
		r = sd_event_add_time_relative(m->event, &source, CLOCK_MONOTONIC, STATUS_USEC,
					       100000, on_status, m);
	if (r >= 0)
		r = sd_event_set_watchdog(m->event, 1);
	return r;
}

static int open_loop(struct master *m, struct error *err)
{
	int r;

	if (pipe2(m->wake, O_CLOEXEC | O_NONBLOCK) < 0)
		return error_set(err, EX_OSERR, "pipe: %s", strerror(errno));
	signals_block();
	r = sd_event_default(&m->event);
	if (r >= 0)
		r = add_sources(m);
	if (r < 0)
		return error_set(err, EX_OSERR, "event loop: %s", strerror(-r));
	return 0;
}

/* A pidfd for each worker: as many descriptors as the hard limit lets us. */
static void raise_descriptors(struct master *m)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &m->nofile);
	limit = m->nofile;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static unsigned most_starting(void)
{
	cpu_set_t set;
	unsigned cpus =
		sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;

	return cpus > 4 ? cpus : 4;
}

static int open_board(struct master *m, struct error *err)
{
	char directory[4096];
	const char *path = m->options->runtime_directory;

	if (!path) {
		if (board_default_directory(m->options->instance, directory, sizeof(directory),
					    err) < 0)
			return -1;
		path = directory;
	}
	return board_create(&m->board, path, m->options->instance, err);
}

static int fail(const struct error *err)
{
	log_error("%s", err->text);
	return err->code;
}

static int run(struct master *m, struct config *config)
{
	struct error err = {0};
	int r;

	if (open_board(m, &err) < 0 || open_loop(m, &err) < 0) {
		config_free(config);
		return fail(&err);
	}
	if (transaction_begin(m, config, &err) < 0)
		return fail(&err);
	r = sd_event_loop(m->event);
	if (r < 0) {
		error_set(&err, EX_SOFTWARE, "event loop: %s", strerror(-r));
		return fail(&err);
	}
	return r;
}

static void tear_down(struct master *m)
{
	if (m->stopping) {
		board_verdict_finish(&m->board, VERDICT_STOP, 0, "stopped");
		log_notice("stopped");
	}
	for (size_t i = 0; i < m->crew_count; i++) {
		crew_kill(m->crews[i]);
		crew_free(m->crews[i]);
	}
	if (m->board.master)
		board_set_state(&m->board, MASTER_GONE);
	board_remove(&m->board);
	free(m->crews);
	sd_event_source_unref(m->step_timer);
	sd_event_unref(m->event);
	fd_close(&m->wake[0]);
	fd_close(&m->wake[1]);
}

static void set_title(const char *instance)
{
	char text[BOARD_NAME_MAX + 32];

	snprintf(text, sizeof(text), "preforkd: master [%s]", instance);
	title_set(text);
}

int master_run(const struct options *options)
{
	/* Not on the stack: what is not used of its tables is no memory, in no worker. */
	static struct master m;
	struct error_list errors = {0};
	struct config *config = load_config(options, &errors);
	int code;

	if (!config) {
		for (size_t i = 0; errors.texts && errors.texts[i]; i++)
			log_error("%s", errors.texts[i]);
		code = errors.code;
		error_list_free(&errors);
		return code;
	}
	m.options = options;
	m.wake[0] = m.wake[1] = -1;
	m.board.master_fd = m.board.readonly_fd = -1;
	m.random = (uint32_t)master_now() ^ (uint32_t)getpid();
	m.max_starting = most_starting();
	raise_descriptors(&m);
	set_title(options->instance);
	code = run(&m, config);
	tear_down(&m);
	return code;
}
