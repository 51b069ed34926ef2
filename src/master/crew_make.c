/* SPDX-License-Identifier: ISC */
/* The begin and the end of a pool. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "base/mem.h"
#include "master/copy.h"
#include "master/crew.h"
#include "master/program.h"
#include "master/queue_watch.h"
#include "worker/sandbox.h"

void held_config_release(struct held_config *held)
{
	if (!held || --held->users > 0)
		return;
	config_free(held->config);
	free(held);
}

static int open_handler(struct crew *crew, struct error *err)
{
	const struct service_config *s = crew->service;

	if (config_program(s)) {
		program_open(&crew->program, s, crew->master->options->instance);
		crew->limits_programs = true;
		return 0;
	}
	crew->setup = (struct preforkd_setup){
		.service = s->name,
		.options = s->options,
		.option_count = s->option_count,
	};
	return handler_open(&crew->handler, *s->builtin ? s->builtin : NULL,
			    *s->module ? s->module : NULL, &crew->setup, err);
}

const char *crew_handler_name(const struct crew *crew)
{
	const struct text_list *program = config_program(crew->service);
	const char *slash;

	if (crew->handler.handler)
		return crew->handler.handler->name;
	if (!program)
		return "";
	slash = strrchr(program->items[0], '/');
	return slash ? slash + 1 : program->items[0];
}

static void mark_udp_port(struct master *m, const struct endpoint *e, bool ours)
{
	unsigned port;

	if (e->type != SOCK_DGRAM || e->addr.any.sa_family == AF_UNIX)
		return;
	/* The port is at the same place in both families. */
	port = ntohs(e->addr.in.sin_port);
	m->udp_users[port] = (uint16_t)(m->udp_users[port] + (ours ? 1 : -1));
	board_udp_port(&m->board, port, m->udp_users[port] > 0);
}

/* Counts the pools of a UDP port, so that the mark on the board goes with the last. */
static void mark_udp_ports(struct crew *crew, bool ours)
{
	if (crew->marked == ours)
		return;
	for (size_t i = 0; i < crew->listener_count; i++)
		mark_udp_port(crew->master, &crew->listeners[i]->bound, ours);
	crew->marked = ours;
}

/* For readers, to ask the kernel for its queue. */
static void show_listener(const struct crew *crew)
{
	struct stat st;
	bool one = crew->listener_count == 1 && crew->listeners[0]->endpoint.type != SOCK_DGRAM &&
		   fstat(crew->listeners[0]->fd, &st) == 0;

	board_pool_set_inode(&crew->master->board, crew->board, one ? st.st_ino : 0);
}

/* The last step of making one; frees it where that fails. */
static struct crew *enter_board(struct crew *crew, struct error *err)
{
	crew->board = board_pool_open(&crew->master->board, crew->service->name, crew->address,
				      crew_handler_name(crew));
	if (crew->board < 0) {
		error_set(err, EX_CONFIG, "more than %d addresses", BOARD_POOLS);
		crew_free(crew);
		return NULL;
	}
	mark_udp_ports(crew, true);
	show_listener(crew);
	crew_show_queue(crew);
	/* Without it workers judge more roughly. */
	(void)queue_watch_start(crew);
	return crew;
}

struct crew *crew_new(struct master *m, struct held_config *held,
		      const struct service_config *service, struct listener **listeners,
		      size_t count, struct error *err)
{
	struct crew *crew = mem_new(1, sizeof(*crew));

	held->users++;
	*crew = (struct crew){.master = m,
			      .state = CREW_GATED,
			      .held = held,
			      .service = service,
			      .fingerprint = crew_fingerprint(service),
			      .waits_for_notify = service_waits_for_notify(service),
			      .board = -1,
			      .stop_usec = POOL_NEVER,
			      .check_usec = POOL_NEVER,
			      .gate = -1,
			      .report = -1};
	crew_take_listeners(crew, listeners, count);
	crew->title = mem_format("preforkd: %s [%s]", service->name, crew->address);
	if (crew_open_size(crew, err) < 0 || open_handler(crew, err) < 0 ||
	    crew_open_overdue(crew, err) < 0 ||
	    admission_open(m, &crew->admission, service, crew->listeners[0], err) < 0 ||
	    crew_open_listeners(crew, err) < 0) {
		crew_free(crew);
		return NULL;
	}
	if (service->sandbox == SANDBOX_STRICT && sandbox_prepare(err) < 0) {
		crew_free(crew);
		return NULL;
	}
	return enter_board(crew, err);
}

struct crew *crew_adopt(struct master *m, const char *name, struct listener **listeners,
			size_t count, struct error *err)
{
	struct crew *crew = mem_new(1, sizeof(*crew));

	*crew = (struct crew){.master = m,
			      .state = CREW_SERVING,
			      .adopted = mem_new(1, sizeof(*crew->adopted)),
			      .fingerprint = mem_text(""), /* no other is equal */
			      .board = -1,
			      .stop_usec = POOL_NEVER,
			      .check_usec = POOL_NEVER,
			      .gate = -1,
			      .report = -1};
	crew->adopted->name = mem_text(name);
	crew->service = crew->adopted;
	crew_take_listeners(crew, listeners, count);
	return enter_board(crew, err);
}

int crew_adopt_worker(struct crew *crew, const struct worker *worker)
{
	struct worker *w = mem_new(1, sizeof(*w));
	int r;

	*w = *worker;
	w->crew = crew;
	r = worker_watch(w);
	if (r < 0) {
		free(w);
		errno = -r;
		return -1;
	}
	crew->workers = mem_grow(crew->workers, crew->worker_count + 1, sizeof(struct worker *));
	w->index = crew->worker_count;
	crew->workers[crew->worker_count++] = w;
	++*worker_count_of(w);
	crew->unready += !w->ready;
	crew->master->worker_count++;
	return 0;
}

static void free_adopted(struct service_config *service)
{
	if (!service)
		return;
	for (size_t i = 0; i < service->acceptor.count; i++)
		free(service->acceptor.items[i]);
	free(service->acceptor.items);
	free(service->name);
	free(service);
}

void crew_free(struct crew *crew)
{
	mark_udp_ports(crew, false);
	queue_watch_stop(crew);
	crew_close_size(crew);
	crew->master->worker_count -= crew->worker_count;
	for (size_t i = 0; i < crew->worker_count; i++) {
		sd_event_source_disable_unref(crew->workers[i]->child);
		copy_free(crew->workers[i]->copy);
		free(crew->workers[i]);
	}
	handler_close(&crew->handler);
	program_close(&crew->program);
	admission_close(crew->master, &crew->admission);
	crew_release_listeners(crew);
	held_config_release(crew->held);
	free_adopted(crew->adopted);
	free(crew->fingerprint);
	free(crew->title);
	free(crew->workers);
	free(crew);
}
