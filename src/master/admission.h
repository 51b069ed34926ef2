/* SPDX-License-Identifier: ISC */
/* Who is served by a pool, and what a service's pools know of their clients' sources together. */
#ifndef MASTER_ADMISSION_H
#define MASTER_ADMISSION_H

#include <stdio.h>

#include "config/config.h"
#include "master/listener.h"
#include "worker/job.h"

struct held_sources;
struct master;

struct crew_admission {
	bool everybody; /* there is nothing to look at */
	struct admission rules;
	struct held_sources *held; /* of the service, whatever its generation; NULL: none */
};

/* What the service wants of who comes to the listener; the service has to outlive it. Returns 0, or
 * -1 with err. */
int admission_open(struct master *m, struct crew_admission *admission,
		   const struct service_config *service, const struct listener *listener,
		   struct error *err);
/* Memory that its workers will share for that, at most. */
size_t admission_size(const struct service_config *service);
void admission_close(struct master *m, struct crew_admission *admission);
/* ---- through an upgrade: what it knows of sources ---- */

/* A line "sources" for each service. */
void admission_save(const struct master *m, FILE *out);
/* Returns 0, or -1 with errno. */
int admission_set_inheritable(const struct master *m, bool yes);
/* What follows that word: returns 0, or -1: it makes no sense. Held until admission_loaded(). */
int admission_take(struct master *m, const char *line);
void admission_loaded(struct master *m);
/* Whether the children that are forked from now on share the sources. */
void admission_hand_down(const struct crew_admission *admission, bool yes);

#endif
