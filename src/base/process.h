/* SPDX-License-Identifier: ISC */
#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H

#include <sys/types.h>

/* What a process does at this moment, to follow its name: "was waiting", "was at work", "was
 * stopped". NULL: nobody can tell. */
const char *process_doing(pid_t pid);

#endif
