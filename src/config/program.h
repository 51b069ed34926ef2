/* SPDX-License-Identifier: ISC */
#ifndef CONFIG_PROGRAM_H
#define CONFIG_PROGRAM_H

#include "config/config.h"

/* Whether the service's user, in its root directory, could execute its program now. Forks a process
 * that tries, and waits for it. Returns 0, or -1 with err. */
int program_check(const struct service_config *service, struct error *err);

#endif
