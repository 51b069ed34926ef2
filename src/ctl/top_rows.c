/* SPDX-License-Identifier: ISC */
/* Which rows are shown, in which order, and which one is selected. */
#include <config.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/top_columns.h"

/* ---- the filter ---- */

static bool has(const struct top_model *model, const char *text)
{
	return strcasestr(text, model->filters[model->view]) != NULL;
}

static bool worker_matches(const struct top_model *model, const struct worker_view *worker)
{
	char client[ADDRESS_TEXT_MAX];

	return has(model, worker_client(worker, client)) || has(model, worker_state(worker));
}

/* marks: pools that have a worker whose client matches. */
static void mark_clients(const struct top_model *model, bool *marks)
{
	char client[ADDRESS_TEXT_MAX];

	for (uint32_t i = 0; i < model->now.worker_count; i++) {
		const struct worker_view *worker = &model->now.workers[i];

		if (!marks[worker->pool] && worker->state == SLOT_BUSY)
			marks[worker->pool] = has(model, worker_client(worker, client));
	}
}

static void collect_pools(struct top_model *model)
{
	bool marks[BOARD_POOLS] = {0};

	if (model->filters[TOP_POOLS][0])
		mark_clients(model, marks);
	for (uint32_t i = 0; i < model->now.pool_count; i++) {
		const struct pool_view *pool = &model->now.pools[i];

		if (marks[i] || has(model, pool->service) || has(model, pool->address))
			model->rows[model->row_count++] = i;
	}
}

static void collect_workers(struct top_model *model)
{
	int pool = top_pool_selected(model);

	for (uint32_t i = 0; i < model->now.worker_count; i++) {
		const struct worker_view *worker = &model->now.workers[i];

		if (pool >= 0 && worker->pool == (uint32_t)pool &&
		    (!model->filters[TOP_WORKERS][0] || worker_matches(model, worker)))
			model->rows[model->row_count++] = i;
	}
}

/* ---- sorting ---- */

static int compare_text(const struct top_model *model, const struct top_column *column, uint32_t a,
			uint32_t b)
{
	char left[TOP_CELL_MAX], right[TOP_CELL_MAX];

	return strcmp(column->text(model, a, left), column->text(model, b, right));
}

/* What is not known is the last, whichever the direction. */
static int compare_value(const struct top_model *model, const struct top_column *column, uint32_t a,
			 uint32_t b, bool reverse)
{
	double left = column->value(model, a), right = column->value(model, b);

	if (isnan(left) || isnan(right))
		return isnan(left) - isnan(right);
	return ((left > right) - (left < right)) * (column->rises == reverse ? -1 : 1);
}

/* Equal ones stay in the order of the board. */
static int compare(const void *left, const void *right, void *context)
{
	const struct top_model *model = context;
	const struct top_order *order = &model->orders[model->view];
	const struct top_column *column = &top_columns(model->view)[order->column];
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
	int result;

	if (column->value)
		result = compare_value(model, column, a, b, order->reverse);
	else
		result = compare_text(model, column, a, b) * (order->reverse ? -1 : 1);
	return result ? result : (a > b) - (a < b);
}

/* ---- the selection ---- */

static bool is_selected(const struct top_model *model, uint32_t index)
{
	if (model->view == TOP_WORKERS)
		return model->now.workers[index].pid == model->pid;
	return top_same_pool(&model->now.pools[index], model->service, model->address);
}

static void select_row(struct top_model *model)
{
	size_t cursor = model->places[model->view].cursor;

	if (cursor >= model->row_count)
		return;
	if (model->view == TOP_WORKERS) {
		model->pid = model->now.workers[model->rows[cursor]].pid;
		return;
	}
	const struct pool_view *pool = &model->now.pools[model->rows[cursor]];
	memcpy(model->service, pool->service, sizeof(model->service));
	memcpy(model->address, pool->address, sizeof(model->address));
}

/* Where it is by now; who is gone makes room for who took the place. */
static void find_selected(struct top_model *model)
{
	struct top_place *place = &model->places[model->view];

	for (size_t i = 0; i < model->row_count; i++) {
		if (!is_selected(model, model->rows[i]))
			continue;
		place->cursor = i;
		return;
	}
	if (model->row_count == 0)
		return;
	if (place->cursor >= model->row_count)
		place->cursor = model->row_count - 1;
	select_row(model);
}

int top_pool_selected(const struct top_model *model)
{
	for (uint32_t i = 0; i < model->now.pool_count; i++)
		if (top_same_pool(&model->now.pools[i], model->service, model->address))
			return (int)i;
	return -1;
}

void top_rows_make(struct top_model *model)
{
	model->row_count = 0;
	if (model->view == TOP_POOLS)
		collect_pools(model);
	else
		collect_workers(model);
	qsort_r(model->rows, model->row_count, sizeof(*model->rows), compare, model);
	find_selected(model);
}

void top_rows_move(struct top_model *model, long by)
{
	struct top_place *place = &model->places[model->view];
	long last = (long)model->row_count - 1, to = (long)place->cursor + by;

	if (last < 0)
		return;
	place->cursor = (size_t)(to < 0 ? 0 : to > last ? last : to);
	select_row(model);
}

void top_rows_fit(struct top_model *model, size_t page)
{
	struct top_place *place = &model->places[model->view];

	model->page = page;
	if (place->first + page > model->row_count)
		place->first = model->row_count > page ? model->row_count - page : 0;
	if (place->cursor < place->first)
		place->first = place->cursor;
	else if (page > 0 && place->cursor >= place->first + page)
		place->first = place->cursor - page + 1;
}

void top_view_set(struct top_model *model, enum top_view view)
{
	if (view == TOP_WORKERS && top_pool_selected(model) < 0)
		return;
	if (view == TOP_WORKERS)
		model->places[view] = (struct top_place){0};
	model->pid = 0;
	model->filters[TOP_WORKERS][0] = '\0';
	model->view = view;
	top_rows_make(model);
}
