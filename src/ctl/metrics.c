/* SPDX-License-Identifier: ISC */
/* The verb metrics: the board once, for Prometheus and its like. */
#include <config.h>

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "ctl/ctl.h"
#include "view/openmetrics.h"
#include "view/snapshot.h"

typedef int writer(const struct snapshot *snapshot, FILE *out, struct error *err);

static writer *writer_of(const char *format, struct error *err)
{
	if (!format || strcmp(format, "openmetrics") == 0)
		return view_openmetrics;
	if (strcmp(format, "prometheus") == 0)
		return view_prometheus;
	error_set(err, EX_USAGE, "--format: \"%s\" is not known; write openmetrics or prometheus",
		  format);
	return NULL;
}

int metrics_run(const struct ctl *ctl, int argc, char **argv, struct error *err)
{
	writer *write = writer_of(ctl->format, err);
	struct snapshot snapshot = {0};
	int result;

	if (!write)
		return -1;
	result = ctl_snapshot(&snapshot, ctl, argc, argv, err);
	if (result == 0)
		result = write(&snapshot, stdout, err);
	if (result == 0 && snapshot.instance.state == MASTER_GONE)
		result = CTL_EXIT_NOT_RUNNING;
	snapshot_free(&snapshot);
	return result;
}
