/* SPDX-License-Identifier: ISC */
/* A client and the program that was started before it came: the two are brought together. */
#ifndef WORKER_PRESTART_SESSION_H
#define WORKER_PRESTART_SESSION_H

#include "worker/lingering.h"
#include "worker/prestart_program.h"
#include "worker/program.h"
#include "worker/program_client.h"
#include "worker/relay.h"

struct prestart {
	struct loop *loop;
	const struct worker_job *job;
	struct supervisor supervisor;
	struct prestart_program program;
	struct relay relay;
	struct entrant *entrant;    /* of the client */
	struct lingering lingering; /* the clients before */
	uint64_t quiet_usec;        /* till then its stderr is not read without a client */
};

/* Until the program has ended, and what it said was delivered. Returns how the connection ended. */
enum connection_field prestart_bring_together(struct prestart *p, const struct program_client *c);
/* At the clients before. */
void prestart_look_at_lingering(struct prestart *p);

#endif
