/* SPDX-License-Identifier: ISC */
#include <config.h>

#include "base/log.h"
#include "master/crew.h"
#include "master/left_over.h"
#include "master/transaction.h"

/* A load takes longer than the start of a worker. */
#define LEAST_PAUSE_USEC UINT64_C(2000000)

bool left_over_is(const struct master *m)
{
	for (size_t i = 0; i < m->crew_count; i++)
		if (m->crews[i]->adopted && m->crews[i]->state == CREW_SERVING)
			return true;
	return false;
}

void left_over_loaded(struct master *m, bool failed)
{
	uint64_t now = master_now();

	if (!failed || !left_over_is(m)) {
		pool_succeeded(&m->load_health);
		return;
	}
	pool_failed(&m->load_health, now, master_random(m));
	if (m->load_health.retry < now + LEAST_PAUSE_USEC)
		m->load_health.retry = now + LEAST_PAUSE_USEC;
	master_step_at(m, m->load_health.retry);
}

uint64_t left_over_step(struct master *m, uint64_t now)
{
	if (m->load_health.failures == 0 || m->stopping || m->transaction || m->upgrade)
		return POOL_NEVER;
	if (now < m->load_health.retry)
		return m->load_health.retry;
	log_info("trying again to load the configuration of the upgrade");
	transaction_begin_reload(m);
	return POOL_NEVER;
}
