/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/title.h"

static struct {
	char *start;
	size_t room;
	size_t used; /* the rest is zeroes: not a byte more is written, for each page counts */
	char **environment;       /* what setenv() replaces is not lost */
} title = {.room = 0, .used = 1}; /* not zeroes: on a page that a worker writes anyway */

/* In one piece, which lives as long as any of it: what unsetenv() takes out is not lost. */
static char **copy_environment(size_t count)
{
	char **copy = mem_new(count + 1, sizeof(*copy)), *text;
	size_t size = 1;

	for (size_t i = 0; i < count; i++)
		size += strlen(environ[i]) + 1;
	text = mem_new(size, 1);
	for (size_t i = 0; i < count; i++) {
		copy[i] = text;
		text = stpcpy(text, environ[i]) + 1;
	}
	return copy;
}

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
	copy = copy_environment(count);
	for (size_t i = 0; i < count; i++)
		if (environ[i] == end)
			end += strlen(environ[i]) + 1;
	for (int i = 1; i < argc; i++)
		argv[i] = mem_text(argv[i]);
	title.start = argv[0];
	title.room = (size_t)(end - argv[0]);
	title.used = title.room;
	title.environment = environ = copy;
}

void title_set(const char *text)
{
	size_t length = strlen(text);

	prctl(PR_SET_NAME, text);
	if (!title.start)
		return;
	if (length >= title.room)
		length = title.room - 1;
	memcpy(title.start, text, length);
	if (title.used > length)
		memset(title.start + length, 0, title.used - length);
	title.used = length;
}
