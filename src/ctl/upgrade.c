/* SPDX-License-Identifier: ISC */
/* The verb upgrade: the installed program in place of the running one, nothing lost. */
#include <config.h>

#include <signal.h>

#include "ctl/order.h"

int upgrade_run(const struct ctl *ctl, int argc, char **argv, struct error *err)
{
	static const struct order order = {
		.verb = "upgrade", .signal = SIGUSR2, .kind = VERDICT_UPGRADE};

	(void)argc, (void)argv;
	return order_run(&order, ctl, err);
}
