/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "handlers/module.h"

#define MODULE_SYMBOL "preforkd_handler"

struct module {
	void *object; /* of dlopen(3) */
};

/* Of an environment that came with more rights than its owner has it is not taken. */
const char *module_directory(void)
{
	const char *directory = secure_getenv("PREFORKD_MODULE_DIRECTORY");

	return directory && *directory == '/' ? directory : MODULEDIR;
}

static char *module_path(const char *file, struct error *err)
{
	char *path = NULL;

	if (*file == '\0') {
		error_set(err, EX_CONFIG, "module \"\": a name or an absolute path is missing");
		return NULL;
	}
	/* A relative path would be another file after a chdir, and a reload would not find it. */
	if (strchr(file, '/') && *file != '/') {
		error_set(
			err, EX_CONFIG,
			"module \"%s\": a path must be absolute; a name without a slash is looked "
			"for in %s",
			file, module_directory());
		return NULL;
	}
	if (*file == '/')
		path = strdup(file);
	else if (asprintf(&path, "%s/%s.so", module_directory(), file) < 0)
		path = NULL;
	if (!path)
		error_set(err, EX_OSERR, "module \"%s\": out of memory", file);
	return path;
}

/* Nothing behind abi may be looked at before abi is known: another interface has another struct. */
static int check_handler(const char *file, const struct preforkd_handler *handler,
			 struct error *err)
{
	if (handler->abi != PREFORKD_ABI)
		return error_set(err, EX_CONFIG,
				 "module \"%s\": built for handler interface %u, this preforkd has "
				 "%u: rebuild it",
				 file, (unsigned)handler->abi, (unsigned)PREFORKD_ABI);
	if (!handler->name || *handler->name == '\0')
		return error_set(err, EX_CONFIG, "module \"%s\": its handler has no name", file);
	if (!handler->serve && !handler->answer)
		return error_set(err, EX_CONFIG,
				 "module \"%s\": its handler has neither serve nor answer", file);
	return 0;
}

static int find_handler(const char *file, void *object, const struct preforkd_handler **handler,
			struct error *err)
{
	const struct preforkd_handler *found = dlsym(object, MODULE_SYMBOL);

	if (!found) {
		const char *reason = dlerror();

		return error_set(err, EX_CONFIG, "module \"%s\": no handler in it: %s", file,
				 reason ? reason : MODULE_SYMBOL " is a null pointer");
	}
	if (check_handler(file, found, err) < 0)
		return -1;
	*handler = found;
	return 0;
}

int module_load(const char *file, struct module **out, const struct preforkd_handler **handler,
		struct error *err)
{
	struct module *module;
	char *path;

	path = module_path(file, err);
	if (!path)
		return -1;
	module = calloc(1, sizeof(*module));
	if (!module) {
		free(path);
		return error_set(err, EX_OSERR, "module \"%s\": out of memory", file);
	}
	module->object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	free(path);
	if (!module->object) {
		const char *reason = dlerror();

		error_set(err, EX_CONFIG, "module \"%s\": %s", file, reason ? reason : "unknown");
		module_unload(module);
		return -1;
	}
	if (find_handler(file, module->object, handler, err) < 0) {
		module_unload(module);
		return -1;
	}
	*out = module;
	return 0;
}

void module_unload(struct module *module)
{
	if (!module)
		return;
	if (module->object)
		dlclose(module->object);
	free(module);
}
