/* SPDX-License-Identifier: ISC */
#ifndef CONFIG_VARIABLES_H
#define CONFIG_VARIABLES_H

#include <stdbool.h>

/* Whether NAME=VALUE is one of those that tell a program of its client, or of preforkd, or that
 * systemd meant for preforkd alone: no program inherits it. */
bool config_variable_is_ours(const char *variable);

#endif
