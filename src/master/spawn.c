/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "board/board.h"
#include "handlers/board_access.h"
#include "master/copy.h"
#include "master/crew.h"
#include "worker/worker.h"

static void add_limit(struct worker_job *job, int resource, const struct optional *value)
{
	if (value->set)
		job->limits[job->limit_count++] =
			(struct resource_limit){resource, (rlim_t)value->value};
}

static void fill_process(struct worker_job *job, const struct crew *crew)
{
	const struct service_config *s = crew->service;

	job->identity = (struct identity){
		.change_user = s->who.change_user,
		.change_group = s->who.change_group,
		.uid = s->who.uid,
		.gid = s->who.gid,
		.groups = s->who.groups,
		.group_count = s->who.group_count,
	};
	job->chroot_directory = *s->chroot ? s->chroot : NULL;
	job->directory = *s->directory ? s->directory : NULL;
	job->umask = (mode_t)s->umask;
	job->set_nice = s->nice.set;
	job->nice = (int)s->nice.value;
	job->nofile = crew->master->nofile;
	job->sandbox = (enum sandbox_level)s->sandbox;
	add_limit(job, RLIMIT_NOFILE, &s->limit_nofile);
	add_limit(job, RLIMIT_AS, &s->limit_as);
	add_limit(job, RLIMIT_CPU, &s->limit_cpu);
	add_limit(job, RLIMIT_NPROC, &s->limit_nproc);
	add_limit(job, RLIMIT_CORE, &s->limit_core);
}

static void fill_job(struct worker_job *job, const struct crew *crew)
{
	const struct service_config *s = crew->service;
	const struct listener *l = crew->listeners[0];
	struct master *m = crew->master;

	*job = (struct worker_job){
		.service = s->name,
		.title = crew->title,
		.address = crew->address,
		.master = getpid(),
		.death_signal = SIGTERM,
		.listener = l->fd,
		.ready = l->ready,
		.turns = crew_takes_turns(crew) ? l->turns : -1,
		.type = l->endpoint.type,
		.gate = crew->gate,
		.report = crew->report,
		.wake = m->wake[1],
		.gauge = crew->gauge,
		.slots = crew->master->board.workers,
		.give_board = handler_give_board,
		.board = m->board.readonly_fd,
		.answers = -1,
		.pktinfo = listener_tells_destination(l),
		.handler = crew->handler.handler,
		.state = crew->handler.state,
		.program = crew->program.argv ? &crew->program : NULL,
		.admission = crew->admission.everybody ? NULL : &crew->admission.rules,
		.idle_timeout_usec = listener_hands_down_timeout(l, s) ? 0 : s->idle_timeout,
		.log_connections = s->log_connections,
	};
	if (crew->handler.handler && s->connection_timeout) {
		job->connection_timeout_usec = s->connection_timeout;
		job->answers = m->answers[1];
	}
	fill_process(job, crew);
}

/* Not unsetenv(3) and strcmp(3): these run in every worker, which would map 64 kB of the C library
 * for them that it needs for nothing else. */
static bool is_of(const char *variable, const char *name)
{
	while (*name && *variable == *name) {
		variable++;
		name++;
	}
	return *name == '\0' && *variable == '=';
}

static bool is_forgotten(const char *variable)
{
	static const char *const names[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
					    "LISTEN_FDS",    "LISTEN_PID",    "LISTEN_FDNAMES"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (is_of(variable, names[i]))
			return true;
	return false;
}

void spawn_forget_environment(void)
{
	char **to = environ;

	for (char **from = environ; from && *from; from++) {
		if (is_forgotten(*from))
			continue;
		/* A page that is not written to stays shared. */
		if (to != from)
			*to = *from;
		to++;
	}
	if (to && *to)
		*to = NULL;
}

static int on_child(sd_event_source *source, const siginfo_t *info, void *userdata)
{
	(void)source;
	crew_reap(userdata, info);
	return 0;
}

int worker_watch(struct worker *w)
{
	int r = w->copy ? copy_hear(w) : 0;

	if (r < 0 || w->ended)
		return r;
	return sd_event_add_child(w->crew->master->event, &w->child, w->pid, WEXITED, on_child, w);
}

/* One that is forked and not yet in the books. */
struct newborn {
	uint64_t recycle_after, recycle_memory;
	struct copy *copy;
	pid_t pid;
	int slot;
};

/*
 * fork(2) for a module: a library it brought along may have asked to be told of it (a random number
 * generator must not be the same in every worker). For a built-in _Fork(): what libsystemd and libc
 * would do in the child is for who goes on using them, and costs each worker three pages.
 */
static pid_t fork_for(const struct crew *crew)
{
	return crew->handler.module ? fork() : _Fork();
}

_Noreturn static void run(const struct crew *crew, struct worker_job *job, const struct newborn *n)
{
	if (n->copy)
		copy_run(crew, job, n->copy);
	spawn_forget_environment();
	worker_run(job);
}

/* What was made for one that is not there; errno is kept. */
static void undo(struct crew *crew, struct newborn *n)
{
	int saved = errno;

	if (n->slot >= 0)
		board_slot_fold(&crew->master->board, n->slot);
	copy_free(n->copy);
	errno = saved;
}

static int prepare(struct crew *crew, struct newborn *n)
{
	n->copy = NULL;
	n->slot = board_slot_take(&crew->master->board, crew->board, crew->generation);
	if (n->slot < 0) {
		errno = EAGAIN;
		return -1;
	}
	if (!crew_is_acceptor(crew))
		return 0;
	n->copy = copy_open(crew);
	return n->copy ? 0 : -1;
}

static int fork_one(struct crew *crew, struct worker_job *job, struct newborn *n)
{
	if (prepare(crew, n) < 0) {
		undo(crew, n);
		return -1;
	}
	job->slot = &crew->master->board.workers->slots[n->slot];
	job->slot_index = (size_t)n->slot;
	job->times = board_pool_times(&crew->master->board, crew->board, n->slot);
	job->recycle_after = n->recycle_after;
	job->recycle_memory = n->recycle_memory;
	n->pid = fork_for(crew);
	if (n->pid == 0)
		run(crew, job, n);
	if (n->pid < 0) {
		undo(crew, n);
		return -1;
	}
	return 0;
}

static int enlist(struct crew *crew, struct newborn *n)
{
	struct master *m = crew->master;
	struct worker *w = mem_new(1, sizeof(*w));
	int r;

	*w = (struct worker){.crew = crew,
			     .pid = n->pid,
			     .slot = n->slot,
			     .copy = n->copy,
			     .epoch = crew->epoch,
			     .forked_usec = master_now()};
	r = worker_watch(w);
	if (r < 0) {
		/* Without a watch it could end unseen: better none. */
		kill(w->pid, SIGKILL);
		while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR)
			;
		undo(crew, n);
		free(w);
		errno = -r;
		return -1;
	}
	board_slot_set_pid(&m->board, w->slot, (uint32_t)w->pid);
	if (crew->replaced_by)
		board_slot_replaced(&m->board, w->slot, (enum verdict_kind)(crew->replaced_by - 1));
	w->index = crew->worker_count;
	crew->workers[crew->worker_count++] = w;
	crew->counts.starting++;
	crew->unready++;
	m->worker_count++;
	board_pool_add(&m->board, crew->board, POOL_workers_started, 1);
	return 0;
}

/* Not all at once. */
static void choose_end(const struct crew *crew, struct newborn *n)
{
	const struct service_config *s = crew->service;

	n->recycle_after = pool_recycle_after(s->recycle_after, master_random(crew->master));
	n->recycle_memory = pool_recycle_after(s->recycle_memory, master_random(crew->master));
}

/*
 * Fork first, keep the books afterwards: every page that the master writes between two forks is one
 * more that each worker has for itself.
 */
int spawn_workers(struct crew *crew, unsigned count)
{
	struct newborn batch[SPAWN_BATCH];
	struct worker_job job;
	unsigned forked = 0;
	int error = 0;

	if (count > SPAWN_BATCH)
		count = SPAWN_BATCH;
	crew->workers =
		mem_grow(crew->workers, crew->worker_count + count, sizeof(struct worker *));
	for (unsigned i = 0; i < count; i++)
		choose_end(crew, &batch[i]);
	fill_job(&job, crew);
	admission_hand_down(&crew->admission, true);
	while (forked < count && fork_one(crew, &job, &batch[forked]) == 0)
		forked++;
	if (forked < count)
		error = errno;
	admission_hand_down(&crew->admission, false);
	for (unsigned i = 0; i < forked; i++)
		if (enlist(crew, &batch[i]) < 0)
			error = errno;
	errno = error;
	return error ? -1 : 0;
}
