/* SPDX-License-Identifier: ISC */
/* JSON, where the program was built with jansson; EX_UNAVAILABLE where it was not. */
#ifndef VIEW_JSON_H
#define VIEW_JSON_H

#include <stdio.h>

#include "view/snapshot.h"

int view_json(const struct snapshot *snapshot, FILE *out, struct error *err);
/* The result of a signal; totals, replaced NULL: without. */
int view_json_verdict(FILE *out, const char *verb, const struct verdict_view *verdict,
		      const uint64_t *totals, const struct ledger_view *replaced,
		      struct error *err);

#endif
