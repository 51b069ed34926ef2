/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "master/copy.h"
#include "master/copy_notify.h"
#include "worker/acceptor.h"

/* How often what is left of a copy is looked at, and how long after it was killed. */
#define GROUP_USEC  UINT64_C(50000)
#define KILLED_USEC UINT64_C(2000000)

bool crew_is_acceptor(const struct crew *crew)
{
	return crew->service->kind == HANDLER_ACCEPTOR;
}

bool service_waits_for_notify(const struct service_config *s)
{
	for (size_t i = 0; i < s->option_count; i++)
		if (strcmp(s->options[i].key, "ready") == 0)
			return strcmp(s->options[i].value, "notify") == 0;
	return false;
}

/* ---- begin ---- */

/* Programs open /dev/stderr as if it were a file: that of another user they may not. Without the
 * right to give it away they have to do without. */
static void give_output(const struct crew *crew, const struct copy *copy)
{
	const struct resolved_user *who = &crew->service->who;

	if (who->change_user)
		(void)!fchown(copy->output.write_fd, who->uid, who->gid);
}

struct copy *copy_open(const struct crew *crew)
{
	struct copy *copy = mem_new(1, sizeof(*copy));
	int saved;

	copy->notify = -1;
	if (program_stderr_open(&copy->output) == 0 &&
	    (!crew->waits_for_notify || copy_notify_open(copy) == 0)) {
		give_output(crew, copy);
		return copy;
	}
	saved = errno;
	copy_free(copy);
	errno = saved;
	return NULL;
}

struct copy *copy_adopt(int output, int notify)
{
	struct copy *copy = mem_new(1, sizeof(*copy));

	*copy = (struct copy){.output = {.read_fd = output, .write_fd = -1}, .notify = notify};
	fcntl(output, F_SETFD, FD_CLOEXEC);
	if (notify >= 0)
		fcntl(notify, F_SETFD, FD_CLOEXEC);
	return copy;
}

void copy_free(struct copy *copy)
{
	if (!copy)
		return;
	sd_event_source_disable_unref(copy->output_source);
	sd_event_source_disable_unref(copy->notify_source);
	program_stderr_close(&copy->output);
	fd_close(&copy->notify);
	free(copy);
}

_Noreturn void copy_run(const struct crew *crew, struct worker_job *process,
			const struct copy *copy)
{
	bool as_stdin = crew->service->pass_as == PASS_AS_STDIN;
	int *sockets = mem_new(crew->listener_count, sizeof(*sockets));
	struct acceptor_job job = {
		.process = process,
		.program = &crew->program,
		.sockets = sockets,
		.socket_count = crew->listener_count,
		.names = as_stdin ? NULL : crew_socket_names(crew->service),
		.notify = copy->notify >= 0 ? copy->notify_name : NULL,
		.output = copy->output.write_fd,
	};

	for (size_t i = 0; i < crew->listener_count; i++)
		sockets[i] = crew->listeners[i]->fd;
	/* Its limits are the program's own, not only made possible. */
	process->program = NULL;
	process->death_signal = (int)crew->service->stop_signal;
	acceptor_run(&job);
}

/* ---- the end ---- */

/* While it is not reaped, and so the number of the group its own; as long as there is anybody in
 * it, it is no other's. */
void copy_end_group(struct worker *w, uint64_t now)
{
	worker_tell(w, now);
	w->ended = true;
	kill(-w->pid, w->killed ? SIGKILL : (int)w->crew->service->stop_signal);
	w->child = sd_event_source_disable_unref(w->child);
}

/* Where orphans become ours, as those of a container do its first process's. */
static void reap_orphans(pid_t group)
{
	siginfo_t info;

	do {
		info.si_pid = 0;
	} while (waitid(P_PGID, (id_t)group, &info, WEXITED | WNOHANG) == 0 && info.si_pid);
}

static bool group_is_gone(const struct worker *w, uint64_t now)
{
	reap_orphans(w->pid);
	if (kill(-w->pid, 0) < 0 && errno == ESRCH)
		return true;
	/* One that the kernel holds up, or that nobody reaps, is not waited for. */
	return w->killed && now > w->kill_usec + KILLED_USEC;
}

uint64_t crew_attend_groups(struct crew *crew, uint64_t now)
{
	uint64_t next = POOL_NEVER;
	size_t i = 0;

	while (crew_is_acceptor(crew) && i < crew->worker_count) {
		struct worker *w = crew->workers[i];

		if (w->ended && group_is_gone(w, now)) {
			worker_forget(w);
			continue;
		}
		if (w->ended)
			next = now + GROUP_USEC;
		i++;
	}
	return next;
}

/* ---- what it writes ---- */

static void on_said(void *userdata, const char *line, unsigned suppressed)
{
	struct worker *w = userdata;
	struct crew *crew = w->crew;
	const struct log_about about = crew_about(crew, w);
	const char *name = crew_handler_name(crew);

	if (line) {
		log_event(LOG_LEVEL_INFO, MESSAGE_program_said, &about,
			  "service \"%s\" [%s]: %s[%d]: %s", crew->service->name, crew->address,
			  name, (int)w->pid, line);
		snprintf(crew->last_words, sizeof(crew->last_words), "%s", line);
	} else {
		log_event(LOG_LEVEL_WARNING, MESSAGE_program_said, &about,
			  "service \"%s\" [%s]: %s[%d]: %u lines suppressed, more than %d a second",
			  crew->service->name, crew->address, name, (int)w->pid, suppressed,
			  PROGRAM_LINES_PER_SECOND);
	}
}

static int on_output(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct worker *w = userdata;

	(void)fd;
	/* Nobody has the other end any more: it would be told for ever. */
	if (!(events & EPOLLIN)) {
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
		return 0;
	}
	program_stderr_read(&w->copy->output, master_now(), on_said, w);
	if (w->copy->output.suppressed)
		master_step_at(w->crew->master, w->copy->output.second + 1000000);
	return 0;
}

void copy_flush(struct worker *w)
{
	if (w->copy)
		program_stderr_finish(&w->copy->output, master_now(), on_said, w);
}

int copy_hear(struct worker *w)
{
	struct copy *copy = w->copy;
	sd_event *event = w->crew->master->event;
	int r;

	fd_close(&copy->output.write_fd);
	r = sd_event_add_io(event, &copy->output_source, copy->output.read_fd, EPOLLIN, on_output,
			    w);
	if (r >= 0)
		r = sd_event_source_set_priority(copy->output_source, COPY_PRIORITY);
	if (r >= 0 && copy->notify >= 0)
		r = copy_notify_hear(w);
	return r < 0 ? r : 0;
}

/* ---- whether it is ready ---- */

bool copy_is_ready(const struct worker *w, uint64_t now)
{
	if (w->crew->waits_for_notify)
		return w->copy->said_ready;
	return now >= w->forked_usec + COPY_ALIVE_USEC;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t crew_attend_copies(struct crew *crew, uint64_t now)
{
	uint64_t next = POOL_NEVER;

	for (size_t i = 0; crew_is_acceptor(crew) && i < crew->worker_count; i++) {
		struct worker *w = crew->workers[i];

		program_stderr_tell(&w->copy->output, now, on_said, w);
		if (w->copy->output.suppressed)
			next = earlier(next, w->copy->output.second + 1000000);
		if (!w->ready && !crew->waits_for_notify)
			next = earlier(next, w->forked_usec + COPY_ALIVE_USEC);
	}
	return next;
}
