/* SPDX-License-Identifier: ISC */
#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

/* The fields of /proc/PID/stat behind the name, the state first; NULL: there is no such process.
 */
#define PROCESS_STAT_MAX 1024
const char *process_stat(pid_t pid, char text[PROCESS_STAT_MAX]);
/* What a process does at this moment, to follow its name: "was waiting", "was at work", "was
 * stopped". NULL: nobody can tell. */
const char *process_doing(pid_t pid);
/* Whether a child was stopped, and nobody has let it go on. */
bool process_is_stopped(pid_t child);

#endif
