/* SPDX-License-Identifier: ISC */
/* A signal to the master, and its verdict. */
#ifndef CTL_ORDER_H
#define CTL_ORDER_H

#include "ctl/ctl.h"

struct order {
	const char *verb;
	int signal;
	enum verdict_kind kind;
	bool ends; /* the master's end is the result, not a failure; the totals are shown */
};

/* What a verb's run does: an exit code, or -1 with err. */
int order_run(const struct order *order, const struct ctl *ctl, struct error *err);

#endif
