/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>

#include "base/log.h"
#include "base/mem.h"

static void *check(void *p)
{
	if (p)
		return p;
	log_error("out of memory");
	_Exit(EX_OSERR);
}

void *mem_new(size_t count, size_t size)
{
	return check(calloc(count ? count : 1, size));
}

void *mem_grow(void *old, size_t count, size_t size)
{
	return check(reallocarray(old, count ? count : 1, size));
}

char *mem_text(const char *text)
{
	return check(strdup(text));
}

char *mem_format(const char *format, ...)
{
	char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vasprintf(&text, format, ap);
	va_end(ap);
	return check(n < 0 ? NULL : text);
}

bool mem_has_room(size_t size)
{
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return map != MAP_FAILED && munmap(map, size) == 0;
}
