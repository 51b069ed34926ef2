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
#include "master/admission.h"
#include "master/copy.h"
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

void transaction_free(struct transaction *t)
{
	child_cancel(t->loader);
	for (int i = 0; i < 2; i++) {
		fd_close(&t->gate[i]);
		fd_close(&t->report[i]);
	}
	held_config_release(t->held);
	free(t->crews);
	free(t->services);
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

void transaction_adopt(struct master *m, struct crew **crews, size_t count)
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

void transaction_conclude(struct master *m, enum transaction_kind kind, int code, const char *text)
{
	bool initial = kind == TRANSACTION_START;

	/* A stop during the start is no failure of either. */
	if (initial && code && m->stopping)
		return;
	if (initial && code) {
		log_event(LOG_LEVEL_ERROR, MESSAGE_start_failed, NULL, "%s", text);
		notify_failed(m, code, text);
		m->exit_code = code;
		/* Who came to a copy is served first. */
		m->stopping = true;
		return;
	}
	if (!initial)
		publish_result(m, kind, code, text);
	if (!code)
		admission_loaded(m);
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
		transaction_adopt(m, &crew, 1);
	}
	/* From here on its pools keep no listener. */
	m->transaction = NULL;
	for (size_t i = 0; i < m->crew_count; i++)
		if (m->crews[i]->state == CREW_GATED)
			crew_give_up(m->crews[i]);
	transaction_free(t);
}

void transaction_abort(struct master *m, int code, const char *reason)
{
	struct transaction *t = m->transaction;
	enum transaction_kind kind = t->kind;

	undo(m, t);
	transaction_conclude(m, kind, code, reason);
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

	if (crew_is_acceptor(crew))
		snprintf(said, sizeof(said), "%s", crew->last_words);
	else
		read_report(m->transaction, said, sizeof(said));
	snprintf(text, sizeof(text), "service \"%s\" [%s]: %s%s%s", crew->service->name,
		 crew->address, what, *said ? ": " : "", said);
	transaction_abort(m, EX_UNAVAILABLE, text);
}

static void fail_by_death(struct master *m, const struct crew *crew)
{
	char what[256];

	if (!crew_is_acceptor(crew) || !*crew->last_death) {
		fail_start(m, crew, "a worker failed before it was ready");
		return;
	}
	snprintf(what, sizeof(what), "%s %s before it was ready", crew_handler_name(crew),
		 crew->last_death);
	fail_start(m, crew, what);
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
			fail_by_death(m, crew);
			return POOL_NEVER;
		}
		if (now >= deadline) {
			fail_start(m, crew, "not ready within start_timeout");
			return POOL_NEVER;
		}
		next = deadline < next ? deadline : next;
	}
	if (all)
		transaction_commit(m);
	return next;
}

static int listen_early(const struct crew *crew, struct error *err)
{
	struct error why;

	for (size_t i = 0; i < crew->listener_count; i++) {
		struct listener *l = crew->listeners[i];

		if (!l->listening && listener_listen(l, crew->service, &why) < 0)
			return error_set(err, why.code, "%s: %s",
					 config_place(crew->service, "listen"), why.text);
	}
	return 0;
}

/* A program that gets a socket may accept at once, and give up where that fails. */
static int listen_before_copies(const struct transaction *t, struct error *err)
{
	for (size_t i = 0; i < t->crew_count; i++)
		if (t->crews[i]->state == CREW_GATED && crew_is_acceptor(t->crews[i]) &&
		    listen_early(t->crews[i], err) < 0)
			return -1;
	return 0;
}

/* New pools of acceptors, or the others. Returns when to look again. */
static uint64_t step_gated(const struct transaction *t, bool acceptors, uint64_t now)
{
	uint64_t next = POOL_NEVER, crew_next;

	for (size_t i = 0; i < t->crew_count; i++) {
		if (t->crews[i]->state != CREW_GATED || crew_is_acceptor(t->crews[i]) != acceptors)
			continue;
		crew_look(t->crews[i]);
		crew_next = crew_step(t->crews[i], now);
		next = crew_next < next ? crew_next : next;
	}
	return next;
}

static bool is_worker_missing(const struct transaction *t)
{
	for (size_t i = 0; i < t->crew_count; i++)
		if (t->crews[i]->state == CREW_GATED && !crew_is_acceptor(t->crews[i]) &&
		    !crew_is_full(t->crews[i]))
			return true;
	return false;
}

/* Copies have clients as soon as they run, and of a load that fails none should have come: they are
 * last, when all is done that is likelier to fail. */
uint64_t transaction_step(struct master *m, uint64_t now)
{
	struct transaction *t = m->transaction;
	uint64_t next, also = POOL_NEVER;
	struct error err;

	if (!t || t->loader)
		return POOL_NEVER;
	next = step_gated(t, false, now);
	if (!is_worker_missing(t)) {
		if (listen_before_copies(t, &err) < 0) {
			transaction_abort(m, err.code, err.text);
			return POOL_NEVER;
		}
		also = step_gated(t, true, now);
	}
	next = also < next ? also : next;
	also = step_start(m, now);
	return also < next ? also : next;
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

	if (!load_fits(bytes, size))
		return EX_OSERR;
	return fd_write_all(out, bytes, size) < 0 ? EX_OSERR : 0;
}

/* NULL with errors. */
static struct config *loaded(const struct child_result *result, struct error_list *errors)
{
	char how[64];

	if (result->late)
		error_list_add(errors, EX_TEMPFAIL,
			       "the load of the configuration took longer than 60 s");
	else if (result->code == CLD_EXITED && result->status == EX_OSERR)
		error_list_add(errors, EX_OSERR, "the load of the configuration: out of memory");
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
	if (!mem_has_room(LOAD_ROOM))
		error_set(&err, EX_OSERR, "out of memory");
	else
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
