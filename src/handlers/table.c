/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <string.h>

#include "handlers/builtin.h"
#include "handlers/table.h"

/* Sorted: the order in which messages list them. M: what needs a library that no other worker
 * should carry is a module of its own. */
#define BUILTINS(H, M) \
	H(agent) H(chargen) H(daytime) H(discard) H(echo) H(message) H(qotd) M(status) H(time)

#define HANDLER(name) {#name, &builtin_##name, NULL},
#define MODULE(name)  {#name, NULL, "builtin_" #name},
#define NAME(name)    #name,

static const struct builtin {
	const char *name;
	const struct preforkd_handler *handler;
	const char *module;
} builtins[] = {BUILTINS(HANDLER, MODULE)};
static const char *const names[] = {BUILTINS(NAME, NAME)};

#define BUILTIN_COUNT (sizeof(builtins) / sizeof(builtins[0]))

static const struct builtin *find(const char *name)
{
	for (size_t i = 0; i < BUILTIN_COUNT; i++)
		if (strcmp(builtins[i].name, name) == 0)
			return &builtins[i];
	return NULL;
}

const struct preforkd_handler *handler_builtin(const char *name)
{
	const struct builtin *builtin = find(name);

	return builtin ? builtin->handler : NULL;
}

const char *handler_builtin_module(const char *name)
{
	const struct builtin *builtin = find(name);

	return builtin ? builtin->module : NULL;
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
