/* SPDX-License-Identifier: ISC */
/* The pools of a state: their listeners, workers and copies. */
#include <config.h>

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "master/copy.h"
#include "master/passed.h"
#include "master/state_lines.h"

/* What another preforkd wrote is in range. */
/* NOLINTBEGIN(cert-err34-c) */

/* Where what was configured differs from what it is bound to: the kernel chose the port. */
static void find_configured(struct endpoint *endpoint, const char *text)
{
	char bound[ADDRESS_TEXT_MAX];
	struct endpoint *list = NULL;
	struct address address;
	struct error ignored;
	size_t count = 0;

	if (strcmp(endpoint_format(endpoint, bound), text) == 0)
		return;
	if (address_parse(text, &address, &ignored) == 0 &&
	    address_resolve_listen(&address, &list, &count, &ignored) == 0 && count > 0)
		*endpoint = list[0];
	free(list);
}

static void add_listener(struct listener ***list, size_t *count, struct listener *l)
{
	*list = mem_grow(*list, *count + 1, sizeof(struct listener *));
	(*list)[(*count)++] = l;
}

/* The pools that share a listener name it each. */
static bool find_listener(struct state *s, int fd)
{
	for (size_t i = 0; i < s->listener_count; i++) {
		if (s->listeners[i]->fd != fd)
			continue;
		add_listener(&s->next, &s->next_count, s->listeners[i]);
		s->listeners[i]->users++;
		return true;
	}
	return false;
}

int state_take_listener(struct state *s, const char *line)
{
	char stored[PASSED_NAME_MAX], configured[ADDRESS_TEXT_MAX];
	int fd, passed, draining, owns_path;
	uint64_t dev, ino;
	struct endpoint endpoint;
	struct listener *l;

	if (sscanf(line, "%d %d %d %d %" SCNu64 " %" SCNu64 " %127s %299[^\n]", &fd, &passed,
		   &draining, &owns_path, &dev, &ino, stored, configured) != 8)
		return -1;
	if (find_listener(s, fd))
		return 0;
	if (endpoint_of_socket(fd, &endpoint) < 0)
		return -1;
	find_configured(&endpoint, configured);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	l = listener_adopt(&endpoint, fd, passed != 0, strcmp(stored, "-") ? stored : NULL);
	l->draining = draining != 0;
	l->owns_path = owns_path != 0;
	l->dev = (dev_t)dev;
	l->ino = (ino_t)ino;
	add_listener(&s->listeners, &s->listener_count, l);
	add_listener(&s->next, &s->next_count, l);
	return 0;
}

static enum crew_state state_from_name(const char *name)
{
	for (int i = 0; i < CREW_STATES; i++)
		if (strcmp(crew_state_names[i], name) == 0)
			return (enum crew_state)i;
	return CREW_SERVING;
}

int state_take_crew(struct state *s, const char *line)
{
	uint64_t stop_usec, workers, stop_timeout, start_timeout, connection_timeout = 0;
	int limits_programs = 0;
	unsigned replaced_by = 0;
	char name[BOARD_NAME_MAX], state[32];
	struct master *m = s->m;
	uint32_t generation;
	struct error err;

	/* The last three are not of the first version. */
	if (s->next_count == 0 ||
	    sscanf(line,
		   "%63s %31s %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu32 " %" SCNu64
		   " %d %u",
		   name, state, &stop_usec, &workers, &stop_timeout, &start_timeout, &generation,
		   &connection_timeout, &limits_programs, &replaced_by) < 7)
		return -1;
	s->crew = crew_adopt(m, name, s->next, s->next_count, &err);
	s->next = NULL;
	s->next_count = 0;
	if (!s->crew) {
		log_error("%s", err.text);
		return -1;
	}
	s->crew->state = state_from_name(state);
	s->crew->stop_usec = stop_usec;
	s->crew->generation = generation;
	s->crew->settings.workers = (unsigned)workers;
	s->crew->adopted->stop_timeout = stop_timeout;
	s->crew->adopted->start_timeout = start_timeout;
	s->crew->adopted->connection_timeout = connection_timeout;
	s->crew->limits_programs = limits_programs != 0;
	s->crew->replaced_by = replaced_by;
	/* Without it a worker that is late is killed, and so is one that cannot say it is not. */
	if (crew_open_overdue(s->crew, &err) < 0)
		log_warning("%s", err.text);
	s->pools[s->crew->board] = true;
	m->crews = mem_grow(m->crews, m->crew_count + 1, sizeof(struct crew *));
	m->crews[m->crew_count++] = s->crew;
	return 0;
}

/* Its workers are copies of a program: what they are to be told, and how they tell. */
int state_take_acceptor(struct state *s, const char *line)
{
	struct service_config *service = s->crew ? s->crew->adopted : NULL;
	unsigned stop_signal;
	int notify, path = 0;

	if (!service || service->kind != HANDLER_NONE ||
	    sscanf(line, "%u %d %n", &stop_signal, &notify, &path) != 2 || line[path] != '/')
		return -1;
	service->kind = HANDLER_ACCEPTOR;
	service->stop_signal = stop_signal;
	service->acceptor.items = mem_new(2, sizeof(char *));
	service->acceptor.items[0] =
		mem_format("%.*s", (int)strcspn(line + path, "\n"), line + path);
	service->acceptor.count = 1;
	s->crew->waits_for_notify = notify != 0;
	board_pool_set_handler(&s->m->board, s->crew->board, crew_handler_name(s->crew));
	return 0;
}

/* Of the worker in the next line. */
int state_take_copy(struct state *s, const char *line)
{
	int output, notify;

	if (s->copy || sscanf(line, "%d %d", &output, &notify) != 2)
		return -1;
	s->copy = copy_adopt(output, notify);
	return 0;
}

static int take_slot(struct state *s, struct worker *w)
{
	struct board *board = &s->m->board;

	if (s->other_layout) {
		/* It writes to the old board: this one only stands for it. */
		w->slot = board_slot_take(board, s->crew->board, s->crew->generation);
		if (w->slot >= 0)
			board_slot_set_pid(board, w->slot, (uint32_t)w->pid);
	} else if (board_slot_adopt(board, w->slot, (uint32_t)w->pid) < 0) {
		return -1;
	}
	if (w->slot < 0)
		return -1;
	s->slots[w->slot] = true;
	return 0;
}

int state_take_worker(struct state *s, const char *line)
{
	struct worker w = {0};
	int pid, ready, leaving, killed, ended = 0;

	/* The last is not of the first version. */
	if (!s->crew || sscanf(line, "%d %d %d %d %" SCNu64 " %" SCNu64 " %d %d", &pid, &w.slot,
			       &ready, &leaving, &w.forked_usec, &w.kill_usec, &killed, &ended) < 7)
		return -1;
	w.pid = (pid_t)pid;
	w.ready = ready != 0;
	w.leaving = leaving != 0;
	w.killed = killed != 0;
	w.ended = ended != 0;
	w.copy = s->copy;
	/* A copy is told once. */
	if (w.copy && w.leaving)
		w.signal_usec = POOL_NEVER;
	if (take_slot(s, &w) < 0 || crew_adopt_worker(s->crew, &w) < 0)
		return -1;
	s->copy = NULL;
	if (w.copy && w.ready)
		board_slot_set_running(&s->m->board, w.slot);
	return 0;
}

/* NOLINTEND(cert-err34-c) */
