/* SPDX-License-Identifier: ISC */
/* The verb recycle: every worker replaced in turn. */
#include <config.h>

#include <signal.h>

#include "ctl/order.h"

int recycle_run(const struct ctl *ctl, int argc, char **argv, struct error *err)
{
	static const struct order order = {
		.verb = "recycle", .signal = SIGUSR1, .kind = VERDICT_RECYCLE};

	(void)argc, (void)argv;
	return order_run(&order, ctl, err);
}
