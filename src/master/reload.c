/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <string.h>

#include "master/reload.h"

static bool same_pool(const struct reload_pool *a, const struct reload_pool *b)
{
	return strcmp(a->service, b->service) == 0 && strcmp(a->address, b->address) == 0;
}

static bool same_listener(const struct reload_pool *a, const struct reload_pool *b)
{
	return a->fixed_port && strcmp(a->address, b->address) == 0;
}

static void match(const struct reload_pool *old, size_t old_count, const struct reload_pool *fresh,
		  struct reload_step *step, enum reload_fate *fates)
{
	*step = (struct reload_step){.action = RELOAD_ADD};
	for (size_t i = 0; i < old_count; i++) {
		if (fates[i] != RELOAD_DROPPED || !same_pool(&old[i], fresh))
			continue;
		step->old = i;
		step->action = strcmp(old[i].fingerprint, fresh->fingerprint) == 0 ? RELOAD_KEEP
										   : RELOAD_REPLACE;
		fates[i] = step->action == RELOAD_KEEP ? RELOAD_KEPT : RELOAD_REPLACED;
		return;
	}
}

/* What no service of the same name wants any more may go on under another one. */
static void take_over(const struct reload_pool *old, size_t old_count,
		      const struct reload_pool *fresh, struct reload_step *step,
		      enum reload_fate *fates)
{
	for (size_t i = 0; i < old_count && step->action == RELOAD_ADD; i++) {
		if (fates[i] != RELOAD_DROPPED || !same_listener(&old[i], fresh))
			continue;
		*step = (struct reload_step){.action = RELOAD_TAKE, .old = i};
		fates[i] = RELOAD_REPLACED;
	}
}

void reload_plan(const struct reload_pool *old, size_t old_count, const struct reload_pool *fresh,
		 size_t fresh_count, struct reload_step *steps, enum reload_fate *fates)
{
	for (size_t i = 0; i < old_count; i++)
		fates[i] = RELOAD_DROPPED;
	for (size_t i = 0; i < fresh_count; i++)
		match(old, old_count, &fresh[i], &steps[i], fates);
	for (size_t i = 0; i < fresh_count; i++)
		take_over(old, old_count, &fresh[i], &steps[i], fates);
}
