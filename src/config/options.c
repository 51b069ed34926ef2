/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/mem.h"
#include "config/options.h"
#include "config/schema.h"

#define COMMAND_LINE     "command line"
#define DEFAULT_FILE     SYSCONFDIR "/preforkd/preforkd.conf"
#define DEFAULT_INSTANCE "main"

const char options_help[] =
	"Usage: preforkd [-c FILE] [-i NAME] [--runtime-directory DIR] [-t | --dump] [-qv]\n"
	"       preforkd --listen ADDRESS... [--workers N] [--set KEY=VALUE...]\n"
	"                (--builtin NAME | --module FILE | --exec -- PROGRAM [ARG...] |\n"
	"                 --acceptor -- PROGRAM [ARG...])\n"
	"\n"
	"You write read() and write(). preforkd does socket(), bind(), listen(), accept() and "
	"systemd.\n"
	"\n"
	"  -c, --config FILE          configuration (" DEFAULT_FILE ")\n"
	"  -i, --instance NAME        name of this instance (" DEFAULT_INSTANCE ")\n"
	"      --runtime-directory DIR  where its board is (" RUNTIMEDIR "/NAME)\n"
	"  -t, --check                check the configuration and exit\n"
	"      --dump                 print the effective configuration and exit\n"
	"  -q                         log warnings and errors only\n"
	"  -v                         log everything\n"
	"  -h, --help                 this text\n"
	"  -V, --version              the version\n"
	"\n"
	"One service without a file:\n"
	"      --listen ADDRESS       as in tcp://127.0.0.1:7007; may be given more than once\n"
	"      --workers N            worker processes for each address\n"
	"      --set KEY=VALUE        any other key of preforkd.conf(5); options.NAME=VALUE too\n"
	"      --builtin NAME         echo discard chargen qotd daytime time message\n"
	"                             agent status\n"
	"      --module FILE          a module, by name or absolute path\n"
	"      --exec -- PROGRAM ...  a program for each client, which is its stdin and stdout\n"
	"      --acceptor -- PROGRAM ...  copies of a program that accept for themselves\n"
	"\n"
	"See preforkd(8), preforkd.conf(5), preforkctl(1).\n";

enum {
	OPT_RUNTIME = 256,
	OPT_DUMP,
	OPT_LISTEN,
	OPT_WORKERS,
	OPT_SET,
	OPT_BUILTIN,
	OPT_MODULE,
	OPT_EXEC,
	OPT_ACCEPTOR,
};

static const struct option long_options[] = {
	{"config", required_argument, NULL, 'c'},
	{"instance", required_argument, NULL, 'i'},
	{"runtime-directory", required_argument, NULL, OPT_RUNTIME},
	{"check", no_argument, NULL, 't'},
	{"dump", no_argument, NULL, OPT_DUMP},
	{"version", no_argument, NULL, 'V'},
	{"help", no_argument, NULL, 'h'},
	{"listen", required_argument, NULL, OPT_LISTEN},
	{"workers", required_argument, NULL, OPT_WORKERS},
	{"set", required_argument, NULL, OPT_SET},
	{"builtin", required_argument, NULL, OPT_BUILTIN},
	{"module", required_argument, NULL, OPT_MODULE},
	{"exec", no_argument, NULL, OPT_EXEC},
	{"acceptor", no_argument, NULL, OPT_ACCEPTOR},
	{NULL, 0, NULL, 0},
};

/* The service's entries; it has a name once the instance is known. */
static struct entries *service_of(struct options *o)
{
	if (!o->service) {
		o->service = entries_new();
		entries_add_service(o->service, DEFAULT_INSTANCE, COMMAND_LINE, 0);
	}
	return o->service;
}

static void set_key(struct options *o, enum entry_scope scope, const char *key, const char *value)
{
	entry_add_value(entries_add(service_of(o), scope, COMMAND_LINE, 0, key), value);
}

/* A list: each time one more. */
static void add_to_list(struct options *o, const char *key, const char *value)
{
	struct entries *e = service_of(o);

	for (size_t i = 0; i < e->count; i++) {
		if (e->items[i].scope == ENTRY_SERVICE && strcmp(e->items[i].key, key) == 0) {
			entry_add_value(&e->items[i], value);
			return;
		}
	}
	set_key(o, ENTRY_SERVICE, key, value);
}

static int add_set(struct options *o, const char *text, struct error *err)
{
	const char *equals = strchr(text, '=');
	static const char prefix[] = "options.";
	const struct key *known;
	char *key;

	if (!equals || equals == text)
		return error_set(err, EX_USAGE, "--set %s: expected KEY=VALUE", text);
	key = mem_format("%.*s", (int)(equals - text), text);
	known = schema_find(key);
	if (known && known->type->is_list)
		add_to_list(o, key, equals + 1);
	else if (strncmp(key, prefix, sizeof(prefix) - 1) == 0)
		set_key(o, ENTRY_OPTION, key + sizeof(prefix) - 1, equals + 1);
	else if (known && known->scope == KEY_MASTER)
		set_key(o, ENTRY_GLOBAL, key, equals + 1);
	else
		set_key(o, ENTRY_SERVICE, key, equals + 1);
	free(key);
	return 0;
}

static void set_level(struct options *o, enum log_level level)
{
	o->log_level_given = true;
	o->log_level = level;
}

static int take_option(struct options *o, int option, char *value, struct error *err)
{
	static const char *const keys[] = {[OPT_WORKERS - OPT_RUNTIME] = "workers",
					   [OPT_BUILTIN - OPT_RUNTIME] = "builtin",
					   [OPT_MODULE - OPT_RUNTIME] = "module",
					   [OPT_EXEC - OPT_RUNTIME] = "exec",
					   [OPT_ACCEPTOR - OPT_RUNTIME] = "acceptor"};

	switch (option) {
	case 'c':
		o->config_file = value;
		return 0;
	case 'i':
		o->instance = value;
		return 0;
	case OPT_RUNTIME:
		o->runtime_directory = value;
		return 0;
	case 't':
		o->action = ACTION_CHECK;
		return 0;
	case OPT_DUMP:
		o->action = ACTION_DUMP;
		return 0;
	case 'q':
		set_level(o, LOG_LEVEL_WARNING);
		return 0;
	case 'v':
		set_level(o, LOG_LEVEL_DEBUG);
		return 0;
	case OPT_LISTEN:
		add_to_list(o, "listen", value);
		return 0;
	case OPT_SET:
		return add_set(o, value, err);
	case OPT_WORKERS:
	case OPT_BUILTIN:
	case OPT_MODULE:
		set_key(o, ENTRY_SERVICE, keys[option - OPT_RUNTIME], value);
		return 0;
	case OPT_EXEC:
	case OPT_ACCEPTOR:
		if (o->program_key)
			return error_set(err, EX_USAGE, "--exec and --acceptor: one of them, once");
		o->program_key = keys[option - OPT_RUNTIME];
		service_of(o);
		return 0;
	default:
		return error_set(err, EX_USAGE, "see preforkd --help");
	}
}

static bool instance_is_valid(const char *name)
{
	size_t n =
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");

	return n > 0 && n < 64 && !name[n] && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int settle(struct options *o, struct error *err)
{
	if (!instance_is_valid(o->instance))
		return error_set(err, EX_USAGE,
				 "instance \"%s\": a name is 1 to 63 of A-Z a-z 0-9 _ . -",
				 o->instance);
	if (o->service && o->config_file)
		return error_set(err, EX_USAGE,
				 "a service on the command line and --config exclude each other");
	if (!o->service && !o->config_file)
		o->config_file = DEFAULT_FILE;
	return 0;
}

/* --exec -- PROGRAM ARG...: all that follows the two dashes. */
static int take_program(struct options *o, int argc, char **argv, struct error *err)
{
	struct entry *entry;

	if (optind >= argc || strcmp(argv[optind - 1], "--") != 0)
		return error_set(err, EX_USAGE, "--%s: expected -- PROGRAM [ARG...] at the end",
				 o->program_key);
	entry = entries_add(service_of(o), ENTRY_SERVICE, COMMAND_LINE, 0, o->program_key);
	for (int i = optind; i < argc; i++)
		entry_add_value(entry, argv[i]);
	return 0;
}

static int parse(int argc, char **argv, struct options *o, struct error *err)
{
	int option;

	/* getopt_long() says itself what it does not know. The +: it must not move a stray argument
	 * to those of the program. */
	while ((option = getopt_long(argc, argv, "+c:i:tqvVh", long_options, NULL)) != -1) {
		if (option == 'h' || option == 'V') {
			o->action = option == 'h' ? ACTION_HELP : ACTION_VERSION;
			return 0;
		}
		if (take_option(o, option, optarg, err) < 0)
			return -1;
	}
	if (o->program_key)
		return take_program(o, argc, argv, err) < 0 ? -1 : settle(o, err);
	if (optind < argc)
		return error_set(err, EX_USAGE, "unexpected argument \"%s\"; see preforkd --help",
				 argv[optind]);
	return settle(o, err);
}

int options_parse(int argc, char **argv, struct options *o, struct error *err)
{
	*o = (struct options){.instance = DEFAULT_INSTANCE, .arguments = argv};
	if (parse(argc, argv, o, err) == 0)
		return 0;
	entries_free(o->service);
	o->service = NULL;
	return -1;
}
