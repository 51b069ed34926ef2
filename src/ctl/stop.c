/* SPDX-License-Identifier: ISC */
/* The verb stop: the end, and what became of the connections. */
#include <config.h>

#include <signal.h>

#include "ctl/order.h"

int stop_run(const struct ctl *ctl, int argc, char **argv, struct error *err)
{
	static const struct order order = {
		.verb = "stop", .signal = SIGTERM, .kind = VERDICT_STOP, .ends = true};

	(void)argc, (void)argv;
	return order_run(&order, ctl, err);
}
