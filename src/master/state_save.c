/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "master/copy.h"
#include "master/crew.h"
#include "master/state.h"

/* ---- lines ---- */

static void put_master(FILE *out, const struct master *m)
{
	fprintf(out, "preforkd-state 1\nversion %s\n", PACKAGE_VERSION);
	fprintf(out, "nofile %" PRIu64 " %" PRIu64 "\n", (uint64_t)m->nofile.rlim_cur,
		(uint64_t)m->nofile.rlim_max);
	fprintf(out, "generation %u\nlog_level %u\n", m->generation, m->log_level);
	fprintf(out, "exit_idle %" PRIu64 "\n", m->exit_idle);
	fprintf(out, "again %d %d\n", m->reload_again, m->upgrade_again);
	fprintf(out, "wake %d %d\n", m->wake[0], m->wake[1]);
	fprintf(out, "answers %d %d\n", m->answers[0], m->answers[1]);
	fprintf(out, "board %d %d %d\n", m->board.master_fd, m->board.workers_fd,
		m->board.readonly_fd);
	fprintf(out, "verdict %u\n", board_verdict_begun(&m->board, VERDICT_UPGRADE));
	for (size_t i = 0; i < m->passed.count; i++)
		if (!m->passed.items[i].stored)
			fprintf(out, "passed %d %s\n", m->passed.items[i].fd,
				m->passed.items[i].name);
	admission_save(m, out);
}

static void put_listener(FILE *out, const struct listener *l)
{
	fprintf(out, "listener %d %d %d %d %" PRIu64 " %" PRIu64 " %s %s\n", l->fd, l->passed,
		l->draining, l->owns_path, (uint64_t)l->dev, (uint64_t)l->ino,
		l->stored ? l->stored : "-", l->configured);
}

static void put_worker(FILE *out, const struct worker *w)
{
	if (w->copy)
		fprintf(out, "copy %d %d\n", w->copy->output.read_fd, w->copy->notify);
	fprintf(out, "worker %d %d %d %d %" PRIu64 " %" PRIu64 " %d %d\n", (int)w->pid, w->slot,
		w->ready, w->leaving, w->forked_usec, w->kill_usec, w->killed, w->ended);
}

/* Its workers follow it, and it its listeners, which a pool that leaves may share with another. */
static void put_crew(FILE *out, const struct crew *crew)
{
	const struct service_config *s = crew->service;

	for (size_t i = 0; i < crew->listener_count; i++)
		put_listener(out, crew->listeners[i]);
	fprintf(out,
		"crew %s %s %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %u %" PRIu64 " %d %u\n",
		s->name, crew_state_names[crew->state], crew->stop_usec,
		(uint64_t)crew->settings.workers, s->stop_timeout, s->start_timeout,
		crew->generation, s->connection_timeout, crew->limits_programs, crew->replaced_by);
	if (crew_is_acceptor(crew))
		fprintf(out, "acceptor %u %d %s\n", s->stop_signal, crew->waits_for_notify,
			s->acceptor.items[0]);
	for (size_t i = 0; i < crew->worker_count; i++)
		put_worker(out, crew->workers[i]);
}

/* ---- descriptors ---- */

static int keep_open(int fd, bool open)
{
	return fd < 0 ? 0 : fcntl(fd, F_SETFD, open ? 0 : FD_CLOEXEC);
}

static int keep_copy_open(const struct copy *copy, bool open)
{
	if (!copy || keep_open(copy->output.read_fd, open) < 0)
		return copy ? -1 : 0;
	return keep_open(copy->notify, open);
}

static int keep_crew_open(const struct crew *crew, bool open)
{
	int status = 0;

	for (size_t i = 0; i < crew->listener_count && status == 0; i++)
		status = keep_open(crew->listeners[i]->fd, open);
	for (size_t i = 0; i < crew->worker_count && status == 0; i++)
		status = keep_copy_open(crew->workers[i]->copy, open);
	return status;
}

static int keep_all_open(struct master *m, bool open, struct error *err)
{
	int status;

	/* What a module left open must not pile up with each upgrade. */
	if (open)
		close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	status = board_set_inheritable(&m->board, open, err) | admission_set_inheritable(m, open);

	for (int i = 0; i < 2 && status == 0; i++)
		status = keep_open(m->wake[i], open) | keep_open(m->answers[i], open);
	for (size_t i = 0; i < m->passed.count && status == 0; i++)
		status = keep_open(m->passed.items[i].fd, open);
	for (size_t i = 0; i < m->crew_count && status == 0; i++)
		status = keep_crew_open(m->crews[i], open);
	return status;
}

/* ---- all ---- */

static int write_all(const struct master *m, int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	FILE *out = copy < 0 ? NULL : fdopen(copy, "w");

	if (!out) {
		fd_close(&copy);
		return -1;
	}
	put_master(out, m);
	for (size_t i = 0; i < m->crew_count; i++)
		put_crew(out, m->crews[i]);
	fputs("end\n", out);
	if (fclose(out) != 0 || lseek(fd, 0, SEEK_SET) < 0)
		return -1;
	return 0;
}

/* What copies wrote and is not logged: a line that has no end yet gets one here. */
static void flush_copies(struct master *m)
{
	for (size_t i = 0; i < m->crew_count; i++)
		for (size_t w = 0; w < m->crews[i]->worker_count; w++)
			copy_flush(m->crews[i]->workers[w]);
}

int state_save(struct master *m, struct error *err)
{
	int fd = memfd_create("preforkd-state", MFD_CLOEXEC);

	flush_copies(m);
	if (fd < 0 || write_all(m, fd) < 0) {
		error_set(err, EX_OSERR, "the state: %s", strerror(errno));
		fd_close(&fd);
		return -1;
	}
	if (keep_all_open(m, true, err) < 0 || keep_open(fd, true) < 0) {
		state_undo(m, fd);
		return error_set(err, EX_OSERR, "the state: descriptors: %s", strerror(errno));
	}
	return fd;
}

void state_undo(struct master *m, int fd)
{
	struct error ignored;

	keep_all_open(m, false, &ignored);
	fd_close(&fd);
}
