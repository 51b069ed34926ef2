/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/mem.h"
#include "master/admission.h"
#include "master/master.h"
#include "worker/sources.h"

/* Shared by all pools of the service, those of the generation before too: a reload forgives no
 * source what it has. */
struct held_sources {
	struct held_sources *next;
	char *service;
	struct sources *sources;
	struct rate rate; /* what the service's bucket is filled at */
	unsigned users;
	bool adopted; /* a user more, from an upgrade to the next load that succeeds */
};

static struct held_sources *find_sources(struct master *m, const char *service)
{
	for (struct held_sources *h = m->sources; h; h = h->next)
		if (strcmp(h->service, service) == 0)
			return h;
	return NULL;
}

static struct held_sources *make_sources(struct master *m, const struct service_config *service)
{
	struct sources *sources = sources_new();
	struct held_sources *h;

	if (!sources)
		return NULL;
	h = mem_new(1, sizeof(*h));
	*h = (struct held_sources){
		.next = m->sources,
		.service = mem_text(service->name),
		.sources = sources,
		.rate = service->rate,
	};
	m->sources = h;
	return h;
}

static struct held_sources *hold_sources(struct master *m, const struct service_config *service)
{
	struct held_sources *h = find_sources(m, service->name);

	if (!h)
		h = make_sources(m, service);
	if (!h)
		return NULL;
	if (h->rate.count != service->rate.count || h->rate.per_usec != service->rate.per_usec)
		sources_rate_reset(h->sources);
	h->rate = service->rate;
	h->users++;
	return h;
}

static void release_sources(struct master *m, struct held_sources *held)
{
	struct held_sources **at = &m->sources;

	if (!held || --held->users > 0)
		return;
	while (*at != held)
		at = &(*at)->next;
	*at = held->next;
	sources_free(held->sources);
	free(held->service);
	free(held);
}

static bool serves_everybody(const struct admission *a)
{
	return !a->allow && !a->deny && a->proxy == PROXY_OFF && a->queue_timeout_usec == 0 &&
	       a->per_source == 0 && a->rate.count == 0 && a->rate_per_source.count == 0;
}

static void set_rules(struct admission *a, const struct service_config *service, int type)
{
	*a = (struct admission){
		.allow = service->allow_rules,
		.deny = service->deny_rules,
		.proxy_from = service->proxy_rules,
		/* A datagram has no header before it. */
		.proxy = type == SOCK_DGRAM ? PROXY_OFF : service->proxy_protocol,
		.queue_timeout_usec = service->queue_timeout,
		.per_source = service->per_source,
		.rate = service->rate,
		.rate_per_source = service->rate_per_source,
		.busy_message = service->busy_message,
		.busy_size = strlen(service->busy_message),
	};
}

size_t admission_size(const struct service_config *service)
{
	struct admission a;

	set_rules(&a, service, SOCK_STREAM);
	return service->kind == HANDLER_ACCEPTOR || serves_everybody(&a) ? 0 : sources_size();
}

int admission_open(struct master *m, struct crew_admission *admission,
		   const struct service_config *service, const struct listener *listener,
		   struct error *err)
{
	struct admission *a = &admission->rules;

	*admission = (struct crew_admission){.everybody = true};
	if (service->kind == HANDLER_ACCEPTOR)
		return 0;
	set_rules(a, service, listener->endpoint.type);
	admission->everybody = serves_everybody(a);
	if (admission->everybody)
		return 0;
	admission->held = hold_sources(m, service);
	if (!admission->held)
		return error_set(err, EX_OSERR, "service \"%s\": memory for its limits: %s",
				 service->name, strerror(errno));
	a->sources = admission->held->sources;
	return 0;
}

void admission_close(struct master *m, struct crew_admission *admission)
{
	release_sources(m, admission->held);
	*admission = (struct crew_admission){.everybody = true};
}

/* ---- upgrades ---- */

void admission_save(const struct master *m, FILE *out)
{
	for (const struct held_sources *h = m->sources; h; h = h->next) {
		uint64_t key[2];
		int fd = sources_descriptor(h->sources, key);

		fprintf(out, "sources %d %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %s\n", fd,
			key[0], key[1], h->rate.count, h->rate.per_usec, h->service);
	}
}

int admission_set_inheritable(const struct master *m, bool yes)
{
	uint64_t key[2];
	int status = 0;

	for (const struct held_sources *h = m->sources; h && status == 0; h = h->next)
		status = fcntl(sources_descriptor(h->sources, key), F_SETFD, yes ? 0 : FD_CLOEXEC);
	return status;
}

int admission_take(struct master *m, const char *line)
{
	struct held_sources h = {.users = 1, .adopted = true};
	char name[BOARD_NAME_MAX] = "";
	uint64_t key[2];
	int fd;

	/* NOLINTNEXTLINE(cert-err34-c): what another preforkd wrote is in range */
	if (sscanf(line, "%d %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %63s", &fd, &key[0],
		   &key[1], &h.rate.count, &h.rate.per_usec, name) != 6)
		return -1;
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	h.sources = sources_adopt(fd, key);
	/* Without it they begin anew. */
	if (!h.sources)
		return 0;
	h.service = mem_text(name);
	h.next = m->sources;
	m->sources = mem_new(1, sizeof(h));
	*m->sources = h;
	return 0;
}

void admission_loaded(struct master *m)
{
	struct held_sources *next;

	for (struct held_sources *h = m->sources; h; h = next) {
		next = h->next;
		if (!h->adopted)
			continue;
		h->adopted = false;
		release_sources(m, h);
	}
}

void admission_hand_down(const struct crew_admission *admission, bool yes)
{
	if (admission->held)
		sources_hand_down(admission->held->sources, yes);
}
