/* SPDX-License-Identifier: ISC */
/* preforkd's command line. */
#ifndef CONFIG_OPTIONS_H
#define CONFIG_OPTIONS_H

#include <stdbool.h>

#include "base/error.h"
#include "base/log.h"
#include "config/entries.h"

enum action { ACTION_RUN, ACTION_CHECK, ACTION_DUMP, ACTION_HELP, ACTION_VERSION };

struct options {
	enum action action;
	const char *config_file; /* NULL: the service is on the command line */
	const char *instance;
	const char *runtime_directory; /* NULL: the default of the instance */
	bool log_level_given;
	enum log_level log_level;
	struct entries *service; /* the service of the command line, or NULL; owned by the caller */
	const char *program_key; /* --exec or --acceptor was given */
	const char *program;     /* absolute, to execute it anew, and with what arguments */
	char *const *arguments;
};

/* Returns 0, or -1 with err (EX_USAGE). */
int options_parse(int argc, char **argv, struct options *options, struct error *err);
/* The text of --help. */
extern const char options_help[];

#endif
