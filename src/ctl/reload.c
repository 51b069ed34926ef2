/* SPDX-License-Identifier: ISC */
/* The verb reload: the configuration again, as a transaction. */
#include <config.h>

#include <signal.h>

#include "ctl/order.h"

int reload_run(const struct ctl *ctl, int argc, char **argv, struct error *err)
{
	static const struct order order = {
		.verb = "reload", .signal = SIGHUP, .kind = VERDICT_RELOAD};

	(void)argc, (void)argv;
	return order_run(&order, ctl, err);
}
