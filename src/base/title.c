/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/title.h"

static struct {
	char *start;
	size_t room;
} title;

/* What is not copied for want of memory leaves the title as it is; a start so short of memory ends
 * soon. */
/* The kernel shows the bytes of argv; the environment follows it in one piece, and may be
 * overwritten once it is copied. */
void title_init(int argc, char **argv)
{
	char *end = argv[0];
	size_t count = 0;
	char **copy;

	for (int i = 0; i < argc; i++)
		if (argv[i] == end)
			end += strlen(argv[i]) + 1;
	while (environ[count])
		count++;
	copy = calloc(count + 1, sizeof(*copy));
	if (!copy)
		return;
	for (size_t i = 0; i < count; i++) {
		if (environ[i] == end)
			end += strlen(environ[i]) + 1;
		copy[i] = strdup(environ[i]);
		if (!copy[i])
			return;
	}
	for (int i = 1; i < argc; i++) {
		argv[i] = strdup(argv[i]);
		if (!argv[i])
			return;
	}
	title.start = argv[0];
	title.room = (size_t)(end - argv[0]);
	environ = copy;
}

void title_set(const char *format, ...)
{
	char name[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(name, sizeof(name), format, ap);
	va_end(ap);
	prctl(PR_SET_NAME, name);
	if (!title.start)
		return;
	memset(title.start, 0, title.room);
	snprintf(title.start, title.room, "%s", name);
}
