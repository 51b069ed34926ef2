/* SPDX-License-Identifier: ISC */
/* When a process started, so that a pid that was used again is not taken for the old one. */
#ifndef BOARD_TICKS_H
#define BOARD_TICKS_H

#include <stdint.h>
#include <sys/types.h>

/* Field 22 of /proc/PID/stat, proc(5); 0 when it cannot be read. */
uint64_t board_start_ticks(pid_t pid);

#endif
