/* SPDX-License-Identifier: ISC */
/* Curves: what pools had at the last looks. */
#include <config.h>

#include <math.h>
#include <string.h>

#include "ctl/top_model.h"

/* Those of pools that are gone are kept for so many looks, for a restart. */
#define HISTORY_KEPT 100

void top_history_clear(struct top_history *history)
{
	for (int i = 0; i < TOP_HISTORY; i++)
		history->rate[i] = history->busy[i] = NAN;
}

bool top_same_pool(const struct pool_view *pool, const char *service, const char *address)
{
	return strcmp(pool->service, service) == 0 && strcmp(pool->address, address) == 0;
}

static bool same_history(const struct top_history *history, const struct pool_view *pool)
{
	return top_same_pool(pool, history->service, history->address);
}

/* A place for a pool that is new: that of one that is gone for long, or else the next. */
static struct top_history *new_history(struct top_model *model, const struct pool_view *pool)
{
	struct top_history *history = NULL;

	for (uint32_t i = 0; i < model->history_count && !history; i++)
		if (model->histories[i].seen + HISTORY_KEPT < model->looks)
			history = &model->histories[i];
	if (!history && model->history_count < BOARD_POOLS)
		history = &model->histories[model->history_count++];
	if (!history)
		return NULL;
	memcpy(history->service, pool->service, sizeof(history->service));
	memcpy(history->address, pool->address, sizeof(history->address));
	top_history_clear(history);
	history->seen = model->looks;
	return history;
}

struct top_history *top_history_find(struct top_model *model, const struct pool_view *pool,
				     uint32_t hint)
{
	if (hint < model->history_count && same_history(&model->histories[hint], pool))
		return &model->histories[hint];
	for (uint32_t i = 0; i < model->history_count; i++)
		if (same_history(&model->histories[i], pool))
			return &model->histories[i];
	return new_history(model, pool);
}

void top_history_add(const struct top_model *model, struct top_history *history,
		     const struct top_numbers *numbers)
{
	size_t place = model->looks % TOP_HISTORY;

	if (!history)
		return;
	history->rate[place] = (float)numbers->rate;
	history->busy[place] = (float)numbers->busy_part;
	history->seen = model->looks;
}

/* The next place of every ring; what is not there is not known. */
void top_history_begin_look(struct top_model *model)
{
	size_t place = ++model->looks % TOP_HISTORY;

	for (uint32_t i = 0; i < model->history_count; i++)
		model->histories[i].rate[place] = model->histories[i].busy[place] = NAN;
	model->instance.rate[place] = model->instance.busy[place] = NAN;
}

void top_history_last(const struct top_model *model, const float ring[TOP_HISTORY], float *values,
		      int count)
{
	for (int i = 0; i < count; i++) {
		uint64_t ago = (uint64_t)(count - 1 - i);

		values[i] = ago < TOP_HISTORY && ago < model->looks
				    ? ring[(model->looks - ago) % TOP_HISTORY]
				    : NAN;
	}
}
