/* SPDX-License-Identifier: ISC */
/* A load whose pools are all ready becomes the generation that serves. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "master/store.h"
#include "master/transaction.h"

/* What becomes of a pool that was compared, by the fates of its `count` listeners. Returns whether
 * nothing of it goes on. */
static bool retire(struct master *m, const struct compared *old, const enum reload_fate *fates,
		   size_t count)
{
	struct crew *crew = old->crew;
	bool serving = crew->state == CREW_SERVING;
	size_t dropped = 0;

	/* One that leaves was dropped before. */
	if (fates[0] == RELOAD_KEPT || crew->state == CREW_LEAVING)
		return false;
	if (serving)
		crew_replaced_by(crew, m->transaction->kind == TRANSACTION_UPGRADE
					       ? VERDICT_UPGRADE
					       : VERDICT_RELOAD);
	for (size_t i = 0; i < count; i++) {
		if (fates[i] != RELOAD_DROPPED)
			continue;
		store_drop(m, old[i].listener);
		dropped++;
	}
	if (dropped == 0)
		crew_leave(crew);
	else
		crew_drain(crew);
	return serving && dropped == count;
}

static size_t retire_old(struct master *m, const struct transaction *t)
{
	size_t dropped = 0, count;

	for (size_t i = 0; i < t->old_count; i += count) {
		count = 1;
		while (i + count < t->old_count && t->old[i + count].crew == t->old[i].crew)
			count++;
		dropped += retire(m, &t->old[i], &t->fates[i], count);
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
	transaction_adopt(m, t->crews, t->crew_count);
	transaction_adopt(m, rest, n);
	free(rest);
}

static int listen_on(struct listener *l, const struct service_config *service, struct error *err)
{
	struct error why;

	if (listener_apply(l, service, &why) < 0 || listener_listen(l, service, &why) < 0)
		return error_set(err, why.code, "%s: %s", config_place(service, "listen"),
				 why.text);
	listener_reopen(l);
	return 0;
}

static int listen_all(const struct transaction *t, struct error *err)
{
	for (size_t i = 0; i < t->crew_count; i++) {
		const struct crew *crew = t->crews[i];

		for (size_t l = 0; crew->state == CREW_GATED && l < crew->listener_count; l++)
			if (listen_on(crew->listeners[l], crew->service, err) < 0)
				return -1;
	}
	return 0;
}

/* As they were: what the old generation listens on was touched before the failure. That worked
 * once; there is nobody to tell if it does not again. */
static void restore_listeners(const struct transaction *t)
{
	for (size_t i = 0; i < t->old_count; i++) {
		const struct crew *crew = t->old[i].crew;
		struct listener *l = t->old[i].listener;
		struct error ignored;

		if (t->fates[i] != RELOAD_REPLACED)
			continue;
		if (!crew->adopted) {
			listener_apply(l, crew->service, &ignored);
			listener_listen(l, crew->service, &ignored);
		}
		if (crew->state != CREW_SERVING)
			listener_refuse_new(l);
	}
}

static void tell_addresses(const struct crew *crew)
{
	unsigned least = crew->settings.workers, most = pool_most(&crew->settings);
	char grows[32] = "";

	if (most > least)
		snprintf(grows, sizeof(grows), " to %u", most);
	for (size_t i = 0; i < crew->listener_count; i++) {
		struct log_about about = crew_about(crew, NULL);

		about.address = crew->listeners[i]->address;
		log_event(LOG_LEVEL_INFO, MESSAGE_listening, &about,
			  "service \"%s\": listening on %s (%u%s worker%s%s)", crew->service->name,
			  about.address, least, grows, most == 1 ? "" : "s",
			  crew->listener_count > 1 ? " for all its addresses" : "");
	}
}

static void tell_all_addresses(const struct transaction *t)
{
	for (size_t i = 0; i < t->crew_count; i++)
		if (t->crews[i]->state == CREW_GATED)
			tell_addresses(t->crews[i]);
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

void transaction_commit(struct master *m)
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
	board_generation_begin(&m->board, m->generation);
	if (kind != TRANSACTION_START)
		board_replace_begin(&m->board,
				    kind == TRANSACTION_UPGRADE ? VERDICT_UPGRADE : VERDICT_RELOAD);
	board_set(&m->board, INSTANCE_generation, m->generation);
	set_log_level(m, t->held->config);
	tell_all_addresses(t);
	m->exit_idle = t->held->config->exit_idle;
	m->workers_total = t->held->config->workers_total;
	dropped = retire_old(m, t);
	for (size_t i = 0; i < t->crew_count; i++) {
		if (t->crews[i]->state != CREW_GATED) {
			crew_resize(t->crews[i], t->services[i]);
			continue;
		}
		gated += t->crews[i]->gate >= 0 ? t->crews[i]->worker_count : 0;
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
	transaction_conclude(m, kind, 0, text);
	master_step_at(m, 0);
}
