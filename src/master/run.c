/* SPDX-License-Identifier: ISC */
/* The begin and the end of a master. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/title.h"
#include "board/read.h"
#include "master/crew.h"
#include "master/intent.h"
#include "master/load.h"
#include "master/notify.h"
#include "master/passed.h"
#include "master/signals.h"
#include "master/strangers.h"
#include "master/state.h"
#include "master/transaction.h"

static int open_loop(struct master *m, struct error *err)
{
	int r;

	/* After an upgrade it is there, and the old workers write to it. */
	if (m->wake[0] < 0 && pipe2(m->wake, O_CLOEXEC | O_NONBLOCK) < 0)
		return error_set(err, EX_OSERR, "pipe: %s", strerror(errno));
	signals_block();
	r = sd_event_default(&m->event);
	if (r >= 0)
		r = master_add_sources(m);
	if (r < 0)
		return error_set(err, EX_OSERR, "event loop: %s", strerror(-r));
	return 0;
}

/* A pidfd for each worker: as many descriptors as the hard limit lets us. */
static void raise_descriptors(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static unsigned count_cpus(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

const char *master_directory(const struct master *m, char *room, size_t size, struct error *err)
{
	if (m->options->runtime_directory)
		return m->options->runtime_directory;
	return board_default_directory(m->options->instance, room, size, err) < 0 ? NULL : room;
}

static int open_board(struct master *m, struct error *err)
{
	char room[4096];
	const char *directory = master_directory(m, room, sizeof(room), err);

	return directory ? board_create(&m->board, directory, m->options->instance, err) : -1;
}

static int fail(struct master *m, const struct error *err)
{
	log_event(LOG_LEVEL_ERROR, err->message ? err->message : MESSAGE_start_failed, NULL, "%s",
		  err->text);
	notify_failed(m, err->code, err->text);
	return err->code;
}

static int loop(struct master *m)
{
	struct error err;
	int r;

	log_count_losses(&m->board.master->values[INSTANCE_log_lost]);
	r = sd_event_loop(m->event);
	strangers_finish(m);
	if (r >= 0)
		return r;
	error_set(&err, EX_SOFTWARE, "event loop: %s", strerror(-r));
	return fail(m, &err);
}

/* NULL with an exit code; it is said why. */
static struct config *load_first(struct master *m, int *code)
{
	struct error_list errors = {0};
	struct config *config = load_config(m->options, &m->passed, &errors);

	for (size_t i = 0; errors.texts && errors.texts[i]; i++)
		log_event(LOG_LEVEL_ERROR, MESSAGE_start_failed, NULL, "%s", errors.texts[i]);
	if (errors.texts && errors.texts[0])
		notify_failed(m, errors.code, errors.texts[0]);
	*code = errors.code;
	error_list_free(&errors);
	return config;
}

static int run(struct master *m)
{
	struct error err = {0};
	struct config *config;
	int code;

	if (passed_take(&m->passed, &err) < 0)
		return fail(m, &err);
	config = load_first(m, &code);
	if (!config)
		return code;
	getrlimit(RLIMIT_NOFILE, &m->nofile);
	raise_descriptors();
	if (open_board(m, &err) < 0 || open_loop(m, &err) < 0) {
		config_free(config);
		return fail(m, &err);
	}
	if (transaction_begin(m, config, &err) < 0)
		return fail(m, &err);
	return loop(m);
}

/* In the new binary of an upgrade: the old pools serve on until the new ones are ready. */
static int run_on(struct master *m, int state)
{
	struct error err = {0};

	raise_descriptors();
	if (state_wake(state, m->wake) < 0)
		error_set(&err, EX_SOFTWARE, STATE_VARIABLE ": not a state of preforkd");
	if (err.code || open_loop(m, &err) < 0 || state_adopt(m, state, &err) < 0)
		return fail(m, &err);
	transaction_begin_upgrade(m);
	return loop(m);
}

/* The memfd of the binary before, or -1. */
static int state_of_before(void)
{
	const char *text = getenv(STATE_VARIABLE);
	uint64_t fd;
	bool given = text && parse_uint(text, 0, INT_MAX, &fd) == 0;

	unsetenv(STATE_VARIABLE);
	return given ? (int)fd : -1;
}

static void tear_down(struct master *m)
{
	if (m->stopping && m->exit_code == 0) {
		board_verdict_finish(&m->board, VERDICT_STOP, 0, "stopped");
		log_event(LOG_LEVEL_NOTICE, MESSAGE_stopped, NULL, "stopped");
	}
	for (size_t i = 0; i < m->crew_count; i++) {
		crew_kill(m->crews[i]);
		crew_free(m->crews[i]);
	}
	if (m->board.master)
		board_set_state(&m->board, MASTER_GONE);
	log_count_losses(NULL);
	board_remove(&m->board);
	free(m->crews);
	intent_close(m);
	notify_close(m);
	sd_event_source_unref(m->answers_source);
	sd_event_source_unref(m->step_timer);
	sd_event_source_unref(m->idle_timer);
	sd_event_unref(m->event);
	fd_close(&m->wake[0]);
	fd_close(&m->wake[1]);
	fd_close(&m->loadavg);
	fd_close(&m->answers[0]);
	fd_close(&m->answers[1]);
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
	int code, state = state_of_before();

	m.options = options;
	m.wake[0] = m.wake[1] = m.answers[0] = m.answers[1] = -1;
	m.board.master_fd = m.board.workers_fd = m.board.readonly_fd = -1;
	m.random = (uint32_t)master_now() ^ (uint32_t)getpid();
	m.cpus = count_cpus();
	m.max_starting = m.cpus > 4 ? m.cpus : 4;
	m.loadavg = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
	set_title(options->instance);
	code = state < 0 ? run(&m) : run_on(&m, state);
	tear_down(&m);
	return code;
}
