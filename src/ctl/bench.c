/* SPDX-License-Identifier: ISC */
/* The verb bench: a measured load. */
#include <config.h>

#include <sysexits.h>
#include <unistd.h>

#include "ctl/bench.h"
#include "ctl/ctl.h"

static int run(const struct ctl *ctl, struct bench_settings *settings, struct error *err)
{
	struct bench_result result;

	settings->progress = settings->progress || isatty(STDERR_FILENO);
	if (bench_target(settings, err) < 0 || bench_load(settings, &result, err) < 0)
		return -1;
	if (!ctl->json)
		bench_report(settings, &result);
	else if (bench_json(settings, &result, err) < 0)
		return -1;
	return bench_stats_failed(&result.stats) ? CTL_EXIT_FAILED : 0;
}

int bench_run(const struct ctl *ctl, int argc, char **argv, struct error *err)
{
	struct bench_settings settings;
	int result;

	if (argc == 0)
		return error_set(err, EX_USAGE, "bench needs an address, as tcp://HOST:PORT");
	if (argc > 1)
		return error_set(err, EX_USAGE, "bench takes one address: \"%s\"", argv[1]);
	result = bench_options_read(&ctl->bench, ctl->timeout_usec, argv[0], &settings, err);
	if (result == 0)
		result = run(ctl, &settings, err);
	bench_settings_free(&settings);
	return result;
}
