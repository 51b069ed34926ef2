/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/title.h"
#include "config/options.h"
#include "master/load.h"
#include "master/master.h"

static int report(struct error_list *errors)
{
	int code = errors->code;

	for (size_t i = 0; errors->texts && errors->texts[i]; i++)
		log_error("%s", errors->texts[i]);
	error_list_free(errors);
	return code;
}

/* --check and --dump. */
static int show(const struct options *options)
{
	struct error_list errors = {0};
	struct config *config = load_config(options, NULL, &errors);
	char *text;

	if (!config)
		return report(&errors);
	if (options->action == ACTION_CHECK) {
		log_info("%s: ok, %zu service%s",
			 options->config_file ? options->config_file : "command line",
			 config->service_count, config->service_count == 1 ? "" : "s");
	} else {
		text = config_dump(config);
		fputs(text ? text : "", stdout);
		free(text);
	}
	config_free(config);
	return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}

static int act(const struct options *options)
{
	switch (options->action) {
	case ACTION_HELP:
		fputs(options_help, stdout);
		return EX_OK;
	case ACTION_VERSION:
		puts("preforkd " PACKAGE_VERSION);
		return EX_OK;
	case ACTION_CHECK:
	case ACTION_DUMP:
		return show(options);
	case ACTION_RUN:
		break;
	}
	return master_run(options);
}

/* A log line must never go into a file that happened to get number 2. */
static int open_missing_standard(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) != fd)
			return -1;
	return 0;
}

/* As they were: the title is written over the originals. */
static char **copy_arguments(int argc, char **argv)
{
	char **copy = mem_new((size_t)argc + 2, sizeof(*copy));

	for (int i = 0; i < argc; i++)
		copy[i] = mem_text(argv[i]);
	if (argc == 0)
		copy[0] = mem_text("preforkd");
	return copy;
}

static void free_arguments(char **arguments)
{
	for (size_t i = 0; arguments[i]; i++)
		free(arguments[i]);
	free(arguments);
}

/* The file may have been replaced since the execve: then what is at its place is meant. */
static void strip_deleted(char *path)
{
	static const char mark[] = " (deleted)";
	size_t length = strlen(path), end = sizeof(mark) - 1;

	if (length > end && strcmp(path + length - end, mark) == 0 && access(path, F_OK) < 0)
		path[length - end] = '\0';
}

/* What an upgrade executes. By the name it was started with, where that is it: a link may come to
 * mean another file. */
static const char *own_program(const char *name)
{
	static char path[PATH_MAX];
	ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - 1);
	struct stat named, own;

	path[size > 0 ? size : 0] = '\0';
	strip_deleted(path);
	if (*name == '/' && stat(name, &named) == 0 && stat("/proc/self/exe", &own) == 0 &&
	    named.st_dev == own.st_dev && named.st_ino == own.st_ino)
		return name;
	return path;
}

int main(int argc, char **argv)
{
	struct options options;
	struct error err = {0};
	char **arguments;
	int code;

	if (open_missing_standard() < 0)
		return EX_OSERR;
	arguments = copy_arguments(argc, argv);
	title_init(argc, argv);
	log_open("preforkd", LOG_LEVEL_INFO);
	if (options_parse(argc, argv, &options, &err) < 0) {
		log_event(LOG_LEVEL_ERROR, MESSAGE_start_failed, NULL, "%s", err.text);
		log_linger();
		free_arguments(arguments);
		return err.code;
	}
	options.arguments = arguments;
	options.program = own_program(arguments[0]);
	log_set_instance(options.instance);
	if (options.log_level_given)
		log_set_level(options.log_level);
	code = act(&options);
	if (code)
		log_linger();
	entries_free(options.service);
	free_arguments(arguments);
	return code;
}
