/* SPDX-License-Identifier: ISC */
/*
 * What an upgrade carries across execve(2): descriptors, pools and workers, as lines of text in a
 * memfd, so that binaries of different versions understand each other. Lines with unknown first
 * words are passed over.
 */
#ifndef MASTER_STATE_H
#define MASTER_STATE_H

#include "master/master.h"

/* The environment variable with the memfd's number. */
#define STATE_VARIABLE "PREFORKD_STATE"

/* Writes it and clears close-on-exec of every descriptor in it. Returns the memfd, or -1 with err
 * and everything as before. */
int state_save(struct master *m, struct error *err);
/* The execve failed: close-on-exec again; closes the memfd. */
void state_undo(struct master *m, int fd);

/* In the new binary, with the event loop open: takes everything over from the memfd, which is
 * closed. The pools serve on, and wait to be replaced. Returns 0, or -1 with err. */
int state_adopt(struct master *m, int fd, struct error *err);
/* Before that: the pipe that wakes the loop, which the old workers write to. Returns 0, or -1. */
int state_wake(int fd, int wake[2]);

#endif
