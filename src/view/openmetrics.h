/* SPDX-License-Identifier: ISC */
/* The board as text for Prometheus and its like: every field of the table, and the histograms. */
#ifndef VIEW_OPENMETRICS_H
#define VIEW_OPENMETRICS_H

#include <stdio.h>

#include "view/snapshot.h"

#define VIEW_OPENMETRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define VIEW_PROMETHEUS_TYPE  "text/plain; version=0.0.4; charset=utf-8"

/* What is not known is left out. Return 0, or -1 with err: it could not be written. */
int view_openmetrics(const struct snapshot *snapshot, FILE *out, struct error *err);
/* The older text format of Prometheus, for those who read no other. */
int view_prometheus(const struct snapshot *snapshot, FILE *out, struct error *err);

#endif
