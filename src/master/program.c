/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "config/variables.h"
#include "master/program.h"

struct list {
	char **items;
	size_t count;
};

/* In the place of one of the same name, if there is one. */
static void put(struct list *list, char *variable)
{
	size_t n = strcspn(variable, "=") + 1;

	for (size_t i = 0; i < list->count; i++) {
		if (strncmp(list->items[i], variable, n) != 0)
			continue;
		free(list->items[i]);
		list->items[i] = variable;
		return;
	}
	list->items = mem_grow(list->items, list->count + 2, sizeof(char *));
	list->items[list->count++] = variable;
	list->items[list->count] = NULL;
}

static void put_user(struct list *list, const struct resolved_user *who)
{
	if (!who->change_user || !*who->login)
		return;
	put(list, mem_format("HOME=%s", who->home));
	put(list, mem_format("USER=%s", who->login));
	put(list, mem_format("LOGNAME=%s", who->login));
	put(list, mem_format("SHELL=%s", *who->shell ? who->shell : "/bin/sh"));
}

static char **copy_arguments(const struct text_list *from)
{
	char **argv = mem_new(from->count + 1, sizeof(char *));

	memcpy(argv, from->items, from->count * sizeof(char *));
	return argv;
}

void program_open(struct program *program, const struct service_config *s, const char *instance)
{
	struct list list = {0};

	for (char **v = environ; *v; v++)
		if (strchr(*v, '=') && !config_variable_is_ours(*v))
			put(&list, mem_text(*v));
	put_user(&list, &s->who);
	for (size_t i = 0; i < s->environment.count; i++)
		put(&list, mem_text(s->environment.items[i]));
	put(&list, mem_format("PREFORKD_SERVICE=%s", s->name));
	put(&list, mem_format("PREFORKD_INSTANCE=%s", instance));
	*program = (struct program){
		.argv = copy_arguments(config_program(s)),
		.environment = list.items,
		.environment_count = list.count,
		.prestart = s->kind == HANDLER_EXEC && s->prestart,
		.stderr_to_client = s->stderr_to == STDERR_CLIENT,
		.connection_timeout_usec = s->connection_timeout,
	};
}

void program_close(struct program *program)
{
	for (size_t i = 0; i < program->environment_count; i++)
		free(program->environment[i]);
	free((void *)(uintptr_t)program->environment);
	free((void *)(uintptr_t)program->argv);
	*program = (struct program){0};
}
