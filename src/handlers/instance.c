/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "handlers/instance.h"
#include "handlers/table.h"

#define OPEN_TEXT_MAX 768

static int unknown_builtin(const char *name, struct error *err)
{
	char list[256] = "";
	size_t count;
	const char *const *names = handler_builtin_names(&count);

	for (size_t i = 0; i < count; i++) {
		size_t used = strlen(list);

		snprintf(list + used, sizeof(list) - used, "%s%s", i == 0 ? "" : ", ", names[i]);
	}
	return error_set(err, EX_CONFIG, "builtin \"%s\": there is none of that name; known: %s",
			 name, list);
}

/* `kind` and `name` are for the message: what the configuration calls it. */
static int call_open(struct handler_instance *instance, const char *kind, const char *name,
		     const struct preforkd_setup *setup, struct error *err)
{
	char text[OPEN_TEXT_MAX] = "";
	void *state = NULL;

	if (!instance->handler->open)
		return 0;
	if (instance->handler->open(setup, &state, text, sizeof(text)) == 0) {
		instance->state = state;
		return 0;
	}
	text[sizeof(text) - 1] = '\0';
	return error_set(err, EX_CONFIG, "%s \"%s\": %s", kind, name,
			 *text ? text : "its open failed and gave no reason");
}

static int open_module(struct handler_instance *instance, const char *kind, const char *name,
		       const char *file, const struct preforkd_setup *setup, struct error *err)
{
	if (module_load(file, &instance->module, &instance->handler, err) < 0)
		return -1;
	if (call_open(instance, kind, name, setup, err) < 0) {
		module_unload(instance->module);
		return -1;
	}
	return 0;
}

static int open_builtin(struct handler_instance *instance, const char *name,
			const struct preforkd_setup *setup, struct error *err)
{
	const char *module = handler_builtin_module(name);

	if (module)
		return open_module(instance, "builtin", name, module, setup, err);
	instance->handler = handler_builtin(name);
	if (!instance->handler)
		return unknown_builtin(name, err);
	return call_open(instance, "builtin", name, setup, err);
}

int handler_open(struct handler_instance *out, const char *builtin_or_null,
		 const char *module_or_null, const struct preforkd_setup *setup, struct error *err)
{
	struct handler_instance instance = {0};
	int result;

	*out = (struct handler_instance){0};
	if (builtin_or_null)
		result = open_builtin(&instance, builtin_or_null, setup, err);
	else if (module_or_null)
		result = open_module(&instance, "module", module_or_null, module_or_null, setup,
				     err);
	else
		result = error_set(err, EX_SOFTWARE, "neither a built-in nor a module to open");
	if (result == 0)
		*out = instance;
	return result;
}

void handler_close(struct handler_instance *instance)
{
	if (instance->handler && instance->handler->close)
		instance->handler->close(instance->state);
	module_unload(instance->module);
	*instance = (struct handler_instance){0};
}
