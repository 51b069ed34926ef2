/* SPDX-License-Identifier: ISC */
/* JSON to stdout, where the program was built with jansson; EX_UNAVAILABLE where it was not. */
#ifndef CTL_JSON_H
#define CTL_JSON_H

#include "ctl/snapshot.h"

int json_status(const struct snapshot *snapshot, struct error *err);
/* The result of a signal; totals, replaced NULL: without. */
int json_verdict(const char *verb, const struct verdict_view *verdict, const uint64_t *totals,
		 const struct ledger_view *replaced, struct error *err);

#endif
