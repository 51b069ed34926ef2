/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "board/board.h"
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

static void fill_job(struct worker_job *job, const struct crew *crew, int slot, pid_t master)
{
	const struct service_config *s = crew->service;
	struct master *m = crew->master;

	*job = (struct worker_job){
		.service = s->name,
		.address = crew->listener->address,
		.master = master,
		.listener = crew->listener->fd,
		.type = crew->listener->endpoint.type,
		.gate = crew->gate,
		.report = crew->report,
		.wake = m->wake_fd,
		.board = m->board.readonly_fd,
		.wildcard = listener_is_wildcard(crew->listener),
		.slot = &m->board.workers->slots[slot],
		.slot_index = (size_t)slot,
		.handler = crew->handler.handler,
		.state = crew->handler.state,
		.idle_timeout_usec = s->idle_timeout,
		.recycle_after = pool_recycle_after(s->recycle_after, master_random(m)),
		.log_connections = s->log_connections,
	};
	fill_process(job, crew);
}

/* What systemd told the master is none of a worker's business. */
static void forget_environment(void)
{
	static const char *const names[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
					    "LISTEN_FDS",    "LISTEN_PID",    "LISTEN_FDNAMES"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (getenv(names[i]))
			unsetenv(names[i]);
}

static int on_child(sd_event_source *source, const siginfo_t *info, void *userdata)
{
	(void)source;
	crew_reap(userdata, info);
	return 0;
}

static struct worker *add_worker(struct crew *crew, pid_t pid, int slot)
{
	struct worker *worker = mem_new(1, sizeof(*worker));
	int r;

	*worker = (struct worker){.crew = crew, .pid = pid, .slot = slot, .epoch = crew->epoch};
	board_slot_set_pid(&crew->master->board, slot, (uint32_t)pid);
	r = sd_event_add_child(crew->master->event, &worker->child, pid, WEXITED, on_child, worker);
	if (r < 0) {
		/* Without a watch it could end unseen: better none. */
		log_error("service \"%s\" [%s]: watching worker %d: %s", crew->service->name,
			  crew->listener->address, (int)pid, strerror(-r));
		kill(pid, SIGKILL);
		free(worker);
		return NULL;
	}
	crew->workers = mem_grow(crew->workers, crew->worker_count + 1, sizeof(*crew->workers));
	crew->workers[crew->worker_count++] = worker;
	return worker;
}

int spawn_worker(struct crew *crew)
{
	struct master *m = crew->master;
	struct worker_job job;
	pid_t master = getpid(), pid;
	int slot = board_slot_take(&m->board, crew->board, crew->generation);

	if (slot < 0) {
		errno = EAGAIN;
		return -1;
	}
	fill_job(&job, crew, slot, master);
	pid = fork();
	if (pid == 0) {
		forget_environment();
		worker_run(&job);
	}
	if (pid < 0 || !add_worker(crew, pid, slot)) {
		int saved = pid < 0 ? errno : EMFILE;

		board_slot_fold(&m->board, slot);
		errno = saved;
		return -1;
	}
	crew->counts.starting++;
	board_pool_add(&m->board, crew->board, POOL_workers_started, 1);
	return 0;
}
