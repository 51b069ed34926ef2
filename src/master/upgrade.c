/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "master/child.h"
#include "master/crew.h"
#include "master/notify.h"
#include "master/state.h"
#include "master/store.h"
#include "master/transaction.h"
#include "master/upgrade.h"
#include "master/verdict.h"

#define CHECK_LIMIT_USEC (UINT64_C(60) * 1000000)
/* The service manager has so long to read what it is told, and is looked at so often. */
#define TELL_LIMIT_USEC (UINT64_C(5) * 1000000)
/* What drains may hold it up for so long. */
#define QUEUE_LIMIT_USEC (UINT64_C(10) * 1000000)
#define TELL_LOOK_USEC   UINT64_C(50000)

struct upgrade {
	struct child *check;
	bool checked;
	struct stat program; /* what was checked */
	uint64_t checked_usec;
	uint64_t told;         /* when the service manager was, or 0 */
	bool announced;        /* that it reloads: it must be told that it is ready again */
	sd_event_source *last; /* executes it */
};

/* ---- the end that is no execve ---- */

static void fail(struct master *m, const char *text)
{
	child_cancel(m->upgrade->check);
	sd_event_source_disable_unref(m->upgrade->last);
	if (m->upgrade->announced && !m->transaction && !m->stopping)
		notify_ready(m);
	free(m->upgrade);
	m->upgrade = NULL;
	board_add(&m->board, INSTANCE_upgrades_failed, 1);
	verdict_publish(m, VERDICT_UPGRADE, true, text);
	upgrade_resume(m);
}

void upgrade_abort(struct master *m, const char *reason)
{
	m->upgrade_again = false;
	if (m->upgrade)
		fail(m, reason);
}

/* ---- the check ---- */

/* --check comes first: behind a program's -- it would be the program's. */
static char **arguments_of_check(const struct options *options)
{
	char *const *old = options->arguments;
	char **arguments;
	size_t count = 0;

	while (old[count])
		count++;
	arguments = mem_new(count + 2, sizeof(*arguments));
	arguments[0] = old[0];
	arguments[1] = mem_text("--check");
	for (size_t i = 1; i < count; i++)
		arguments[i + 1] = old[i];
	return arguments;
}

static int check_in_child(struct master *m, int out)
{
	const char *program = m->options->program;

	if (dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0)
		return EX_OSERR;
	spawn_forget_environment();
	execv(program, arguments_of_check(m->options));
	dprintf(out, "%s: %s\n", program, strerror(errno));
	return EX_UNAVAILABLE;
}

/* What it said, without the priorities and names that its log lines begin with. */
static void copy_said(const char *bytes, char *text, size_t room)
{
	size_t used = 0;

	text[0] = '\0';
	while (*bytes && used < room - 1) {
		size_t length = strcspn(bytes, "\n");
		const char *colon = memchr(bytes, ':', length);
		const char *from = bytes;

		if (*bytes == '<' && colon)
			from = colon + 1 + (colon[1] == ' ');
		used += (size_t)snprintf(text + used, room - used, "%s%.*s", used ? "\n" : "",
					 (int)(bytes + length - from), from);
		bytes += length + (bytes[length] == '\n');
	}
}

static void on_checked(struct master *m, const struct child_result *result)
{
	char said[2048], how[64], text[sizeof(said) + 256];

	m->upgrade->check = NULL;
	if (result->code == CLD_EXITED && result->status == 0) {
		m->upgrade->checked = true;
		m->upgrade->checked_usec = master_now();
		if (stat(m->options->program, &m->upgrade->program) < 0)
			m->upgrade->program = (struct stat){0};
		master_step_at(m, 0);
		return;
	}
	copy_said(result->bytes, said, sizeof(said));
	snprintf(text, sizeof(text), "refused: %s --check %s%s%s", m->options->program,
		 result->late ? "took longer than 60 s" : child_describe(result, how, sizeof(how)),
		 *said ? ": " : "", said);
	fail(m, text);
}

/* ---- the execve ---- */

static void execute(struct master *m)
{
	struct error err;
	char number[16], text[512];
	int fd = state_save(m, &err), saved;

	if (fd < 0) {
		fail(m, err.text);
		return;
	}
	snprintf(number, sizeof(number), "%d", fd);
	if (setenv(STATE_VARIABLE, number, 1) == 0) {
		log_notice("upgrade: executing %s", m->options->program);
		execv(m->options->program, m->options->arguments);
	}
	saved = errno;
	unsetenv(STATE_VARIABLE);
	state_undo(m, fd);
	snprintf(text, sizeof(text), "%s: %s", m->options->program, strerror(saved));
	fail(m, text);
}

/* What waits to be sent would be lost with this image, a stored listener among it. */
static bool is_manager_told(struct master *m)
{
	struct upgrade *u = m->upgrade;
	uint64_t now = master_now();

	if (!u->told) {
		notify_reloading(m);
		u->told = now;
		u->announced = true;
	}
	if (notify_flush(m, 0))
		return true;
	if (now - u->told < TELL_LIMIT_USEC) {
		master_step_at(m, now + TELL_LOOK_USEC);
		return false;
	}
	log_warning("upgrade: the service manager does not read what it is told; going on");
	store_again(m);
	return true;
}

/* A pool of before starts no worker any more: one that has none gets one, and the queue of one that
 * drains is served first; but not for ever. */
static bool is_left_alone(struct crew *crew)
{
	if (crew->state == CREW_DRAINING)
		return false;
	return crew->state != CREW_SERVING || crew_has_worker(crew);
}

static bool is_queue_served(struct master *m)
{
	uint64_t now = master_now();

	for (size_t i = 0; i < m->crew_count; i++) {
		if (is_left_alone(m->crews[i]))
			continue;
		if (now - m->upgrade->checked_usec > QUEUE_LIMIT_USEC)
			return true;
		master_step_at(m, now + TELL_LOOK_USEC);
		return false;
	}
	return true;
}

static bool is_same_program(const struct master *m)
{
	const struct stat *then = &m->upgrade->program;
	struct stat now = {0};

	return stat(m->options->program, &now) < 0 ||
	       (now.st_dev == then->st_dev && now.st_ino == then->st_ino &&
		now.st_mtim.tv_sec == then->st_mtim.tv_sec &&
		now.st_mtim.tv_nsec == then->st_mtim.tv_nsec);
}

static bool is_due(const struct master *m)
{
	return m->upgrade && !m->upgrade->check && !m->transaction && !m->recycling && !m->stopping;
}

static int on_last(sd_event_source *source, void *userdata)
{
	struct master *m = userdata;

	(void)source;
	if (!is_due(m) || !is_queue_served(m))
		return 0;
	/* What is there now was not checked. */
	if (!is_same_program(m)) {
		m->upgrade->checked = false;
		master_step_at(m, 0);
		return 0;
	}
	if (is_manager_told(m))
		execute(m);
	return 0;
}

/* Behind all else: a signal that the loop has read and not yet acted on would be lost. */
static int execute_last(struct master *m)
{
	struct upgrade *u = m->upgrade;
	int r;

	if (u->last)
		return sd_event_source_set_enabled(u->last, SD_EVENT_ONESHOT);
	r = sd_event_add_defer(m->event, &u->last, on_last, m);
	return r < 0 ? r : sd_event_source_set_priority(u->last, SD_EVENT_PRIORITY_IDLE);
}

void upgrade_step(struct master *m)
{
	struct upgrade *u = m->upgrade;
	struct error err;

	if (!is_due(m)) {
		if (u)
			u->told = 0;
		return;
	}
	if (u->checked) {
		int r = execute_last(m);

		if (r < 0)
			fail(m, strerror(-r));
		return;
	}
	u->check = child_start(m, check_in_child, on_checked, CHECK_LIMIT_USEC, &err);
	if (!u->check)
		fail(m, err.text);
}

void upgrade_ask(struct master *m)
{
	if (m->stopping)
		return;
	if (m->upgrade || (m->transaction && m->transaction->kind == TRANSACTION_UPGRADE)) {
		m->upgrade_again = true;
		return;
	}
	m->upgrade_again = false;
	board_add(&m->board, INSTANCE_upgrades, 1);
	board_verdict_begin(&m->board, VERDICT_UPGRADE);
	m->upgrade = mem_new(1, sizeof(*m->upgrade));
	master_step_at(m, 0);
}

void upgrade_resume(struct master *m)
{
	if (m->upgrade_again && !m->upgrade)
		upgrade_ask(m);
}
