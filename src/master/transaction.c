/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "master/idle.h"
#include "master/left_over.h"
#include "master/load.h"
#include "master/notify.h"
#include "master/signals.h"
#include "master/store.h"
#include "master/transaction.h"
#include "master/upgrade.h"
#include "master/verdict.h"

#define LOAD_LIMIT_USEC (UINT64_C(60) * 1000000)

static void transaction_free(struct transaction *t)
{
	child_cancel(t->loader);
	for (int i = 0; i < 2; i++) {
		fd_close(&t->gate[i]);
		fd_close(&t->report[i]);
	}
	held_config_release(t->held);
	free(t->crews);
	free(t->old);
	free(t->fates);
	free(t);
}

static struct transaction *transaction_new(struct master *m, enum transaction_kind kind)
{
	struct transaction *t = mem_new(1, sizeof(*t));

	*t = (struct transaction){
		.kind = kind, .gate = {-1, -1}, .report = {-1, -1}, .begun = master_now()};
	m->transaction = t;
	return t;
}

/* ---- start ---- */

/* Everything up to the forks. */
static int prepare(struct master *m, struct transaction *t, struct config *config,
		   struct error *err)
{
	t->held = mem_new(1, sizeof(*t->held));
	*t->held = (struct held_config){.config = config, .users = 1};
	if (pipe2(t->gate, O_CLOEXEC) < 0 || pipe2(t->report, O_CLOEXEC | O_NONBLOCK) < 0)
		return error_set(err, EX_OSERR, "pipe: %s", strerror(errno));
	t->begun = master_now();
	if (assemble(m, t, err) < 0)
		return -1;
	master_step_at(m, 0);
	return 0;
}

/* ---- the ends ---- */

static void adopt_crews(struct master *m, struct crew **crews, size_t count)
{
	m->crews = mem_grow(m->crews, m->crew_count + count, sizeof(struct crew *));
	memcpy(m->crews + m->crew_count, crews, count * sizeof(struct crew *));
	m->crew_count += count;
}

static void publish_result(struct master *m, enum transaction_kind kind, int code, const char *text)
{
	bool upgrade = kind == TRANSACTION_UPGRADE;

	board_add(&m->board, upgrade ? INSTANCE_upgrades_failed : INSTANCE_reloads_failed,
		  code ? 1 : 0);
	verdict_publish(m, upgrade ? VERDICT_UPGRADE : VERDICT_RELOAD, code != 0, text);
}

/* The result, to those who asked. */
static void conclude(struct master *m, enum transaction_kind kind, int code, const char *text)
{
	bool initial = kind == TRANSACTION_START;

	/* A stop during the start is no failure of either. */
	if (initial && code && m->stopping)
		return;
	if (initial && code) {
		log_event(LOG_LEVEL_ERROR, MESSAGE_start_failed, NULL, "%s", text);
		notify_failed(m, code, text);
		m->exit_code = code;
		sd_event_exit(m->event, code);
		return;
	}
	if (!initial)
		publish_result(m, kind, code, text);
	/* What is to be said then was said: STOPPING. */
	if (m->stopping)
		return;
	if (initial)
		log_event(LOG_LEVEL_INFO, MESSAGE_started, NULL, "preforkd %s is ready",
			  PACKAGE_VERSION);
	left_over_loaded(m, code != 0);
	board_set_state(&m->board, MASTER_RUNNING);
	notify_ready(m);
	if (m->reload_again) {
		m->reload_again = false;
		transaction_begin_reload(m);
	}
	upgrade_resume(m);
	signals_resume_recycle(m);
	idle_rearm(m);
}

static void undo(struct master *m, struct transaction *t)
{
	for (size_t i = 0; i < t->crew_count; i++) {
		struct crew *crew = t->crews[i];

		if (crew->state != CREW_GATED)
			continue;
		/* Nobody was ever accepted here: nothing is lost. */
		crew_kill(crew);
		adopt_crews(m, &crew, 1);
	}
	transaction_free(t);
	m->transaction = NULL;
}

void transaction_abort(struct master *m, int code, const char *reason)
{
	struct transaction *t = m->transaction;
	enum transaction_kind kind = t->kind;

	undo(m, t);
	conclude(m, kind, code, reason);
	master_step_at(m, 0);
}

static size_t retire_old(struct master *m, const struct transaction *t)
{
	size_t dropped = 0;

	for (size_t i = 0; i < t->old_count; i++) {
		struct crew *crew = t->old[i];

		dropped += t->fates[i] == RELOAD_DROPPED && crew->state == CREW_SERVING;
		if (crew->state == CREW_LEAVING)
			continue; /* dropped before */
		if (t->fates[i] == RELOAD_REPLACED) {
			crew_leave(crew);
		} else if (t->fates[i] == RELOAD_DROPPED) {
			store_drop(m, crew->listener);
			crew_drain(crew);
		}
	}
	return dropped;
}

/* The crews of the new generation first, then those that leave. */
static void reorder(struct master *m, struct transaction *t)
{
	struct crew **rest = mem_new(m->crew_count, sizeof(struct crew *));
	size_t n = 0;

	for (size_t i = 0; i < m->crew_count; i++) {
		bool kept = false;

		for (size_t j = 0; j < t->crew_count && !kept; j++)
			kept = t->crews[j] == m->crews[i];
		if (!kept)
			rest[n++] = m->crews[i];
	}
	m->crew_count = 0;
	adopt_crews(m, t->crews, t->crew_count);
	adopt_crews(m, rest, n);
	free(rest);
}

static int listen_all(const struct transaction *t, struct error *err)
{
	for (size_t i = 0; i < t->crew_count; i++) {
		struct crew *crew = t->crews[i];
		struct error why;

		if (crew->state != CREW_GATED)
			continue;
		if (listener_apply(crew->listener, crew->service, &why) < 0 ||
		    listener_listen(crew->listener, crew->service, &why) < 0)
			return error_set(err, why.code, "%s: %s",
					 config_place(crew->service, "listen"), why.text);
		listener_reopen(crew->listener);
	}
	return 0;
}

/* As they were: what the old generation listens on was touched before the failure. That worked
 * once; there is nobody to tell if it does not again. */
static void restore_listeners(const struct transaction *t)
{
	for (size_t i = 0; i < t->old_count; i++) {
		const struct crew *crew = t->old[i];
		struct error ignored;

		if (t->fates[i] != RELOAD_REPLACED)
			continue;
		if (!crew->adopted) {
			listener_apply(crew->listener, crew->service, &ignored);
			listener_listen(crew->listener, crew->service, &ignored);
		}
		if (crew->state != CREW_SERVING)
			listener_refuse_new(crew->listener);
	}
}

static void tell_addresses(const struct transaction *t)
{
	for (size_t i = 0; i < t->crew_count; i++) {
		const struct crew *crew = t->crews[i];

		const struct log_about about = crew_about(crew, NULL);

		if (crew->state == CREW_GATED)
			log_event(LOG_LEVEL_INFO, MESSAGE_listening, &about,
				  "service \"%s\": listening on %s (%llu worker%s)",
				  crew->service->name, crew->listener->address,
				  (unsigned long long)crew->service->workers,
				  crew->service->workers == 1 ? "" : "s");
	}
}

static void set_log_level(struct master *m, const struct config *config)
{
	enum log_level level = m->options->log_level_given ? m->options->log_level
							   : (enum log_level)config->log_level;

	m->log_level = level;
	log_set_level(level);
	board_set_log_level(&m->board, level);
}

/* A byte for each worker that waits there. Closing the other end is not enough: a process that a
 * handler's open() left behind has it too. */
static void open_gate(const struct transaction *t, size_t workers)
{
	for (size_t i = 0; i < workers; i++)
		(void)!write(t->gate[1], "", 1);
}

static void commit(struct master *m)
{
	struct transaction *t = m->transaction;
	struct error err;
	char text[200];
	enum transaction_kind kind = t->kind;
	size_t dropped = 0, gated = 0;

	if (listen_all(t, &err) < 0) {
		restore_listeners(t);
		transaction_abort(m, err.code, err.text);
		return;
	}
	m->generation++;
	board_set(&m->board, INSTANCE_generation, m->generation);
	set_log_level(m, t->held->config);
	tell_addresses(t);
	m->exit_idle = t->held->config->exit_idle;
	dropped = retire_old(m, t);
	for (size_t i = 0; i < t->crew_count; i++) {
		if (t->crews[i]->state != CREW_GATED)
			continue;
		gated += t->crews[i]->worker_count;
		crew_serve(t->crews[i], m->generation);
	}
	open_gate(t, gated);
	reorder(m, t);
	snprintf(text, sizeof(text), "%sgeneration %u: %u kept, %u replaced, %u added, %zu dropped",
		 kind == TRANSACTION_UPGRADE ? "version " PACKAGE_VERSION ", " : "", m->generation,
		 t->actions[RELOAD_KEEP], t->actions[RELOAD_REPLACE] + t->actions[RELOAD_TAKE],
		 t->actions[RELOAD_ADD], dropped);
	transaction_free(t);
	m->transaction = NULL;
	store_drop_unclaimed(m);
	store_sync(m);
	conclude(m, kind, 0, text);
	master_step_at(m, 0);
}

/* ---- start: until all are ready ---- */

/* What a worker said before it gave up, or "". */
static void read_report(const struct transaction *t, char *text, size_t room)
{
	ssize_t n = read(t->report[0], text, room - 1);

	if (n < 0)
		n = 0;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

static void fail_start(struct master *m, const struct crew *crew, const char *what)
{
	char said[ERROR_TEXT_MAX / 2], text[2 * ERROR_TEXT_MAX];

	read_report(m->transaction, said, sizeof(said));
	snprintf(text, sizeof(text), "service \"%s\" [%s]: %s%s%s", crew->service->name,
		 crew->listener->address, what, *said ? ": " : "", said);
	transaction_abort(m, EX_UNAVAILABLE, text);
}

static uint64_t start_deadline(const struct transaction *t, const struct crew *crew)
{
	uint64_t timeout = crew->service->start_timeout;

	return timeout ? t->begun + timeout : POOL_NEVER;
}

static uint64_t step_start(struct master *m, uint64_t now)
{
	struct transaction *t = m->transaction;
	uint64_t next = POOL_NEVER, deadline;
	bool all = true;

	for (size_t i = 0; i < t->crew_count; i++) {
		struct crew *crew = t->crews[i];

		if (crew->state != CREW_GATED || crew_is_full(crew))
			continue;
		all = false;
		deadline = start_deadline(t, crew);
		if (crew_is_degraded(crew)) {
			fail_start(m, crew, "a worker failed before it was ready");
			return POOL_NEVER;
		}
		if (now >= deadline) {
			fail_start(m, crew, "not ready within start_timeout");
			return POOL_NEVER;
		}
		next = deadline < next ? deadline : next;
	}
	if (all)
		commit(m);
	return next;
}

uint64_t transaction_step(struct master *m, uint64_t now)
{
	struct transaction *t = m->transaction;
	uint64_t next = POOL_NEVER, crew_next;

	if (!t || t->loader)
		return POOL_NEVER;
	for (size_t i = 0; i < t->crew_count; i++) {
		if (t->crews[i]->state != CREW_GATED)
			continue;
		crew_look(t->crews[i]);
		crew_next = crew_step(t->crews[i], now);
		next = crew_next < next ? crew_next : next;
	}
	crew_next = step_start(m, now);
	return crew_next < next ? crew_next : next;
}

/* ---- begin ---- */

int transaction_begin(struct master *m, struct config *config, struct error *err)
{
	struct transaction *t = transaction_new(m, TRANSACTION_START);
	int status;

	status = prepare(m, t, config, err);
	if (status < 0)
		undo(m, t);
	return status;
}

static int load_in_child(struct master *m, int out)
{
	size_t size;
	char *bytes = load_pack(m->options, &m->passed, &size);

	return fd_write_all(out, bytes, size) < 0 ? EX_OSERR : 0;
}

/* NULL with errors. */
static struct config *loaded(const struct child_result *result, struct error_list *errors)
{
	char how[64];

	if (result->late)
		error_list_add(errors, EX_TEMPFAIL,
			       "the load of the configuration took longer than 60 s");
	else if (result->code != CLD_EXITED || result->status != 0)
		error_list_add(errors, EX_SOFTWARE, "the load of the configuration crashed: it %s",
			       child_describe(result, how, sizeof(how)));
	else
		return load_unpack(result->bytes, result->size, errors);
	return NULL;
}

static void on_loaded(struct master *m, const struct child_result *result)
{
	struct transaction *t = m->transaction;
	struct error_list errors = {0};
	struct config *config;
	struct error err;
	char *text;

	t->loader = NULL;
	config = loaded(result, &errors);
	if (!config) {
		text = error_list_join(&errors);
		transaction_abort(m, errors.code, text ? text : "out of memory");
		free(text);
	} else if (prepare(m, t, config, &err) < 0) {
		transaction_abort(m, err.code, err.text);
	}
	error_list_free(&errors);
}

static void begin_load(struct master *m, enum transaction_kind kind)
{
	struct transaction *t = transaction_new(m, kind);
	struct error err;

	board_set_state(&m->board, MASTER_RELOADING);
	notify_reloading(m);
	t->loader = child_start(m, load_in_child, on_loaded, LOAD_LIMIT_USEC, &err);
	if (!t->loader)
		transaction_abort(m, err.code, err.text);
}

void transaction_begin_reload(struct master *m)
{
	if (m->transaction) {
		m->reload_again = true;
		return;
	}
	board_add(&m->board, INSTANCE_reloads, 1);
	board_verdict_begin(&m->board, VERDICT_RELOAD);
	begin_load(m, TRANSACTION_RELOAD);
}

void transaction_begin_upgrade(struct master *m)
{
	begin_load(m, TRANSACTION_UPGRADE);
}
