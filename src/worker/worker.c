/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "board/gauge.h"
#include "board/write.h"
#include "worker/loop.h"
#include "worker/overtime.h"
#include "worker/prestart.h"
#include "worker/program.h"
#include "worker/ready.h"
#include "worker/sandbox.h"
#include "worker/stop.h"
#include "worker/worker.h"

/* A new mapping from a read-only descriptor: the master's own, inherited, could be made writable.
 */
static const struct master_file *map_master(const struct worker_job *job, struct error *err)
{
	void *map = mmap(NULL, sizeof(struct master_file), PROT_READ, MAP_SHARED, job->board, 0);

	if (map == MAP_FAILED) {
		error_set(err, EX_OSERR, "mmap of the board: %s", strerror(errno));
		return NULL;
	}
	return map;
}

static int enter(const struct worker_job *job, struct error *err)
{
	if (job->handler && job->handler->enter && job->handler->enter(job->state) < 0)
		return error_set(err, EX_SOFTWARE, "handler %s: enter: %s", job->handler->name,
				 strerror(errno));
	return 0;
}

/* Says that this worker is ready, and waits until its whole generation is. */
static void be_ready(const struct worker_job *job)
{
	char byte = 0;
	int wake = job->wake;

	gauge_use(job->gauge, wake);
	times_use(job->times);
	slot_ready(job->slot, loop_now());
	(void)!write(wake, &byte, 1);
	/* Who takes the last spare says so there. */
	if (!job->gauge)
		fd_close(&wake);
	/* Its end: the generation was given up, or the master is gone. */
	if (job->gate >= 0 && read(job->gate, &byte, 1) != 1)
		_exit(EX_TEMPFAIL);
}

_Noreturn static void give_up(const struct worker_job *job, const struct error *err)
{
	char line[ERROR_TEXT_MAX + 1];

	if (job->report >= 0) {
		snprintf(line, sizeof(line), "%.*s\n", ERROR_TEXT_MAX - 2, err->text);
		fd_write_all(job->report, line, strlen(line));
	} else {
		log_event(LOG_LEVEL_ERROR, MESSAGE_worker_failed, NULL, "%s", err->text);
		log_linger();
	}
	_exit(err->code);
}

static bool runs_programs(const struct worker_job *job)
{
	return job->program && job->type != SOCK_DGRAM;
}

static int prepare_stop(const struct worker_job *job, struct error *err)
{
	return job->program ? stop_prepare_programs(job->listener, err)
			    : stop_prepare(job->listener, err);
}

static int prepare_to_wait(const struct worker_job *job, struct error *err)
{
	if (job->turns >= 0)
		stop_waiting(job->turns);
	if (job->program || job->type == SOCK_DGRAM)
		return 0;
	return job->turns >= 0 ? ready_open_in_turn(job->listener, job->turns, err)
			       : ready_open(job->listener, job->ready, err);
}

static int serve(struct loop *loop)
{
	const struct worker_job *job = loop->job;

	if (runs_programs(job))
		return job->program->prestart ? loop_prestart(loop) : loop_programs(loop);
	overtime_open(job);
	stop_arm();
	return job->type == SOCK_DGRAM ? loop_datagrams(loop) : loop_connections(loop);
}

_Noreturn void worker_run(const struct worker_job *job)
{
	const struct master_file *master;
	struct loop loop;
	struct error err = {0};
	int gate = job->gate, report = job->report, status;

	log_count_losses(&job->slot->values[CONN_log_lost]);
	log_set_subject(job->service, job->address);
	log_part();
	if (worker_become(job, &err) < 0 || prepare_stop(job, &err) < 0)
		give_up(job, &err);
	master = map_master(job, &err);
	if (!master)
		give_up(job, &err);
	job->give_board(master, job->slots, job->board);
	if ((job->sandbox == SANDBOX_STRICT && sandbox_enter(&err) < 0) || enter(job, &err) < 0 ||
	    prepare_to_wait(job, &err) < 0)
		give_up(job, &err);
	log_follow_level(&master->log_level);
	loop_prepare(&loop, job, master);
	fd_close(&report);
	be_ready(job);
	fd_close(&gate);
	status = serve(&loop);
	slot_leaving(job->slot);
	if (job->handler && job->handler->leave)
		job->handler->leave(job->state);
	if (status < 0)
		log_linger();
	_exit(status < 0 ? EX_OSERR : WORKER_LEFT);
}
