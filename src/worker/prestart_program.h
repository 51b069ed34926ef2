/* SPDX-License-Identifier: ISC */
/* A program that is started ahead of its client, on a socket pair, and replaced when it ends before
 * one comes. */
#ifndef WORKER_PRESTART_PROGRAM_H
#define WORKER_PRESTART_PROGRAM_H

#include "worker/program.h"
#include "worker/program_start.h"

struct prestart_program {
	const struct worker_job *job;
	struct supervisor *supervisor; /* its pid is the program's */
	struct program_start start;
	int near;      /* our end of the socket pair; -1: no program */
	bool shortage; /* the machine was too short of something to start one */
	uint64_t started_usec;
	uint64_t pause_usec; /* after one that ended early; 0: all is well */
	uint64_t next_usec;  /* not before that is another started without a client */
};

/* Returns 0, or -1 with errno. */
int prestart_program_open(struct prestart_program *p, struct supervisor *supervisor);
/* Returns 0, or -1 after a line in the log; then there is no program. */
int prestart_program_start(struct prestart_program *p);
/* The same where there is none and it is time for one, by the caller's clock. */
void prestart_program_keep(struct prestart_program *p, uint64_t now);
/* When that is to be called again: UINT64_MAX while there is a program. */
uint64_t prestart_program_due(const struct prestart_program *p);
/* Whether there is one for a client that has come. */
bool prestart_program_is_alive(const struct prestart_program *p);
/* It has ended without a client: says so, and when there will be another. */
void prestart_program_ended(struct prestart_program *p);
/* It was waited for. */
void prestart_program_forget(struct prestart_program *p);

/*
 * How long to wait before a program is started again that ended after lived_usec without a client:
 * `pause` is how long the last time, 0 after a client. Pure.
 */
uint64_t prestart_pause(uint64_t pause, uint64_t lived_usec);

#endif
