/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/process.h"
#include "board/ticks.h"

uint64_t board_start_ticks(pid_t pid)
{
	char text[PROCESS_STAT_MAX];
	const char *p = process_stat(pid, text);

	/* The state is field 3. */
	for (int field = 3; p && field < 22; field++) {
		p = strchr(p, ' ');
		p = p ? p + 1 : NULL;
	}
	return p ? strtoull(p, NULL, 10) : 0;
}
