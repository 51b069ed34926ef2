/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "ctl/ctl.h"

#define ORDER_OPTIONS (OPTIONS_JSON | OPTIONS_TIMEOUT | OPTIONS_ORDER)
#define ORDER_TIMEOUT (90 * USEC_PER_SEC)

static const struct ctl_verb verbs[] = {
	{"call", call_run, "ADDRESS [MESSAGE...]", "send a message to a server, print its reply",
	 OPTIONS_TIMEOUT | OPTIONS_CALL, 5 * USEC_PER_SEC},
	{"bench", bench_run, "ADDRESS", "put a load on a server and measure it",
	 OPTIONS_JSON | OPTIONS_TIMEOUT | OPTIONS_BENCH, BENCH_TIMEOUT_UNSET},
	{"status", status_run, "[SERVICE...]", "show services, workers and connections",
	 OPTIONS_JSON | OPTIONS_STATUS, 0},
	{"top", top_run, "", "the same live, on a terminal", OPTIONS_TOP, 0},
	{"advise", advise_run, "[SERVICE...]", "tell how many workers each pool needs",
	 OPTIONS_JSON | OPTIONS_ADVISE, 0},
	{"metrics", metrics_run, "[SERVICE...]", "the same for Prometheus (OpenMetrics)",
	 OPTIONS_METRICS, 0},
	{"reload", reload_run, "", "load the configuration again", ORDER_OPTIONS, ORDER_TIMEOUT},
	{"upgrade", upgrade_run, "", "execute the installed program in place", ORDER_OPTIONS,
	 ORDER_TIMEOUT},
	{"recycle", recycle_run, "", "replace every worker in turn", ORDER_OPTIONS, ORDER_TIMEOUT},
	{"stop", stop_run, "", "end the daemon when its connections have ended", ORDER_OPTIONS,
	 ORDER_TIMEOUT},
	{"import", import_run, "FILE...", "turn inetd.conf, xinetd.d, units into configuration", 0,
	 0},
	{NULL, NULL, NULL, NULL, 0, 0},
};

/* A socket or a board that took the number of a closed standard stream would be read from or
 * written to in its place. */
static void open_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

static int print_version(void)
{
	puts("preforkctl " PACKAGE_VERSION);
	return 0;
}

/* From the verb on. */
static int run_verb(struct ctl *ctl, const struct ctl_verb *verb, int argc, char **argv,
		    struct error *err)
{
	ctl->timeout_usec = verb->timeout_usec;
	int first = options_parse(ctl, OPTIONS_GLOBAL | verb->options, false, argc, argv, err);
	if (first < 0)
		return -1;
	if (ctl->version)
		return print_version();
	if (ctl->help)
		return verb_help(verb);
	if (ctl->json && !(verb->options & OPTIONS_JSON))
		return error_set(err, EX_USAGE, "%s has no --json", verb->name);
	if (verb->usage[0] == '\0' && first < argc)
		return error_set(err, EX_USAGE, "%s takes no arguments: \"%s\"", verb->name,
				 argv[first]);
	return verb->run(ctl, argc - first, argv + first, err);
}

static int run(int argc, char **argv, struct error *err)
{
	struct ctl ctl = {.instance = "main"};
	int first = options_parse(&ctl, OPTIONS_GLOBAL | OPTIONS_JSON, true, argc, argv, err);

	if (first < 0)
		return -1;
	if (ctl.version)
		return print_version();
	if (ctl.help)
		return verbs_help(verbs);
	if (first == argc)
		return error_set(err, EX_USAGE, "no verb; preforkctl --help lists them");
	const struct ctl_verb *verb = verbs_find(verbs, argv[first], err);
	if (!verb)
		return -1;
	return run_verb(&ctl, verb, argc - first, argv + first, err);
}

int main(int argc, char **argv)
{
	struct error err = {.code = EX_SOFTWARE};

	open_standard_streams();
	int code = run(argc, argv, &err);
	if (code >= 0 && (fflush(stdout) != 0 || ferror(stdout)))
		code = error_set(&err, EX_IOERR, "standard output: %s", strerror(errno));
	if (code < 0) {
		fflush(stdout);
		fprintf(stderr, "preforkctl: %s\n", err.text);
		code = err.code;
	}
	return code;
}
