/* SPDX-License-Identifier: ISC */
/* What a service's program is executed with, made ready in the master for all its workers. */
#ifndef MASTER_PROGRAM_H
#define MASTER_PROGRAM_H

#include "config/config.h"
#include "worker/job.h"

/*
 * The arguments stay the configuration's. The environment is what the master inherited, without
 * what is its own business (sd_notify(3), sd_listen_fds(3), systemd.exec(5)) and without what a
 * client's would be, then the user's HOME, USER, LOGNAME and SHELL, then the service's.
 */
void program_open(struct program *program, const struct service_config *service,
		  const char *instance);
/* Zeroes it; does nothing to one that is zeroed. */
void program_close(struct program *program);

#endif
