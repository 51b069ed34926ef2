/* SPDX-License-Identifier: ISC */
#ifndef WORKER_TRAFFIC_H
#define WORKER_TRAFFIC_H

#include <stdbool.h>

#include "base/log.h"

/* Fills about with the bytes that went over the client's socket, where the kernel knows them, and
 * with nothing else. `finished`: the client was read to its end. */
void traffic_measure(int fd, bool finished, struct log_about *about);

#endif
