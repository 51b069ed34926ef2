/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <string.h>

#include "handlers/builtin.h"
#include "handlers/table.h"

/* Sorted: the order in which messages list them. */
#define BUILTINS(X) X(chargen) X(daytime) X(discard) X(echo) X(message) X(qotd) X(time)

#define HANDLER(name) &builtin_##name,
#define NAME(name)    #name,

static const struct preforkd_handler *const builtins[] = {BUILTINS(HANDLER)};
static const char *const names[] = {BUILTINS(NAME)};

#define BUILTIN_COUNT (sizeof(builtins) / sizeof(builtins[0]))

const struct preforkd_handler *handler_builtin(const char *name)
{
	for (size_t i = 0; i < BUILTIN_COUNT; i++)
		if (strcmp(names[i], name) == 0)
			return builtins[i];
	return NULL;
}

const char *const *handler_builtin_names(size_t *count)
{
	*count = BUILTIN_COUNT;
	return names;
}

bool handler_serves(const struct preforkd_handler *handler, int socktype)
{
	switch (socktype) {
	case SOCK_STREAM:
	case SOCK_SEQPACKET:
		return handler->serve != NULL;
	case SOCK_DGRAM:
		return handler->answer != NULL;
	default:
		return false;
	}
}
