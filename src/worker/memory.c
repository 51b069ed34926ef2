/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/memory.h"

/* Of some 20 lines. */
#define ROLLUP_MAX 2048

static struct {
	int rollup;
} memory = {-1};

void memory_open(void)
{
	memory.rollup = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
}

/* The kB behind a name at the begin of a line. */
static uint64_t value_of(const char *text, const char *name)
{
	const char *line = strstr(text, name);

	return line ? strtoull(line + strlen(name), NULL, 10) : 0;
}

uint64_t memory_private(void)
{
	char text[ROLLUP_MAX];
	ssize_t n;

	if (memory.rollup < 0 || lseek(memory.rollup, 0, SEEK_SET) < 0)
		return 0;
	n = read(memory.rollup, text, sizeof(text) - 1);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	return 1024 * (value_of(text, "\nPrivate_Clean:") + value_of(text, "\nPrivate_Dirty:") +
		       value_of(text, "\nPrivate_Hugetlb:"));
}
