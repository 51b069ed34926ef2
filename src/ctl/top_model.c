/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "ctl/top_columns.h"

/* Percentiles and trends are of the last 10 to 20 seconds. */
#define WINDOW_USEC (10 * USEC_PER_SEC)

static const struct top_numbers unknown = {
	.rate = NAN,
	.refused = NAN,
	.errors = NAN,
	.busy = NAN,
	.busy_part = NAN,
	.ready = NAN,
	.max = NAN,
	.queued = NAN,
	.queue_limit = NAN,
	.p50 = NAN,
	.p90 = NAN,
	.p99 = NAN,
	.most = NAN,
	.wait_p99 = NAN,
	.full_in = INFINITY,
};

int top_model_init(struct top_model *model, const char *name, uint64_t interval_usec,
		   struct error *err)
{
	*model = (struct top_model){
		.name = name,
		.interval_usec = interval_usec,
		.orders[TOP_POOLS].column = TOP_COLUMN_SERVICE,
		.orders[TOP_WORKERS].column = TOP_COLUMN_PID,
		.total = unknown,
		.waiting = "no look at the board yet",
		.pools = calloc(BOARD_POOLS, sizeof(*model->pools)),
		.histories = calloc(BOARD_POOLS, sizeof(*model->histories)),
		.rows = calloc(BOARD_SLOTS, sizeof(*model->rows)),
	};
	top_history_clear(&model->instance);
	if (model->pools && model->histories && model->rows)
		return 0;
	top_model_free(model);
	return error_set(err, EX_OSERR, "out of memory");
}

static void forget_looks(struct top_model *model)
{
	snapshot_free(&model->now);
	snapshot_free(&model->before);
	snapshot_free(&model->older);
	snapshot_free(&model->newer);
}

void top_model_free(struct top_model *model)
{
	forget_looks(model);
	free(model->pools);
	free(model->histories);
	free(model->rows);
	*model = (struct top_model){0};
}

/* Pools hardly ever change places: `hint` is where it is tried first. */
static const struct pool_view *find_pool(const struct snapshot *snapshot,
					 const struct pool_view *pool, uint32_t hint)
{
	if (hint < snapshot->pool_count &&
	    top_same_pool(&snapshot->pools[hint], pool->service, pool->address))
		return &snapshot->pools[hint];
	for (uint32_t i = 0; i < snapshot->pool_count; i++)
		if (top_same_pool(&snapshot->pools[i], pool->service, pool->address))
			return &snapshot->pools[i];
	return NULL;
}

/* ---- numbers ---- */

static double known(uint64_t value)
{
	return value == UINT64_MAX ? NAN : (double)value;
}

/* What is so at this moment. */
static void measure_now(struct top_numbers *numbers, const struct pool_view *pool)
{
	*numbers = unknown;
	numbers->ready = (double)pool->values[POOL_workers_ready];
	numbers->max = (double)pool->values[POOL_workers_max];
	numbers->queued = known(pool->values[POOL_queued]);
	numbers->queue_limit = known(pool->values[POOL_queue_limit]);
	numbers->degraded = pool_degraded(pool);
	if (!pool_counts_connections(pool))
		return;
	numbers->busy = (double)pool->busy;
	numbers->busy_part = numbers->max > 0 ? numbers->busy / numbers->max : NAN;
	numbers->saturated = numbers->max > 0 && numbers->busy >= numbers->max;
}

/* What two looks are compared for. */
struct comparison {
	struct pool_rates *rates;  /* since the look before */
	struct pool_rates *lately; /* of the seconds that percentiles are of */
	double *served;            /* microseconds of service in all, */
	double *served_before;     /* and in the look before */
};

/* busy_usec grows when a connection ends: those that are open are added, or a pool that is full of
 * long ones would look idle. */
static void add_up_service(double *served, const struct snapshot *snapshot)
{
	if (!snapshot->pools)
		return;
	for (uint32_t i = 0; i < snapshot->pool_count; i++)
		served[i] = (double)snapshot->pools[i].connections[CONN_busy_usec];
	for (uint32_t i = 0; i < snapshot->worker_count; i++) {
		const struct worker_view *worker = &snapshot->workers[i];

		if (worker->state == SLOT_BUSY && worker->since_usec)
			served[worker->pool] += (double)snapshot_age(snapshot, worker->since_usec);
	}
}

/* What happened since the look before. */
static void measure_rates(struct top_model *model, uint32_t index,
			  const struct comparison *compared)
{
	const struct pool_view *pool = &model->now.pools[index];
	const struct pool_view *before = find_pool(&model->before, pool, index);
	const struct pool_rates *rates = &compared->rates[index];
	struct top_numbers *numbers = &model->pools[index];

	if (!before || rates->seconds <= 0)
		return;
	double served =
		compared->served[index] - compared->served_before[before - model->before.pools];

	numbers->rate = rates->accepted;
	numbers->refused = rates->refused;
	numbers->errors = rates->aborted;
	if (numbers->max > 0)
		numbers->busy_part = fmin(
			fmax(served, 0) / (double)USEC_PER_SEC / rates->seconds / numbers->max, 1);
}

static void measure_times(struct top_numbers *numbers, const struct histogram *times,
			  const struct histogram *waits)
{
	if (histogram_count(waits) > 0)
		numbers->wait_p99 = (double)histogram_quantile(waits, 0.99);
	if (histogram_count(times) == 0)
		return;
	numbers->p50 = (double)histogram_quantile(times, 0.5);
	numbers->p90 = (double)histogram_quantile(times, 0.9);
	numbers->p99 = (double)histogram_quantile(times, 0.99);
	numbers->most = (double)histogram_quantile(times, 1);
}

/* And in the last seconds. */
static void measure_lately(struct top_numbers *numbers, const struct pool_rates *lately)
{
	measure_times(numbers, &lately->times, &lately->waits);
	/* One worker more of many that are idle is no trend. */
	if (lately->seconds > 0 && 2 * numbers->busy >= numbers->max && numbers->max > 0)
		numbers->full_in = lately->full_in;
}

static void add(double *sum, double value)
{
	if (!isnan(value))
		*sum = isnan(*sum) ? value : *sum + value;
}

static void add_to_total(struct top_numbers *total, const struct top_numbers *pool)
{
	add(&total->rate, pool->rate);
	add(&total->refused, pool->refused);
	add(&total->errors, pool->errors);
	add(&total->busy, pool->busy);
	add(&total->ready, pool->ready);
	add(&total->max, pool->max);
	add(&total->queued, pool->queued);
}

static void measure_pool(struct top_model *model, uint32_t index, const struct comparison *compared)
{
	const struct pool_view *pool = &model->now.pools[index];
	struct top_numbers *numbers = &model->pools[index];

	measure_now(numbers, pool);
	measure_rates(model, index, compared);
	measure_lately(numbers, &compared->lately[index]);
	numbers->history = top_history_find(model, pool, index);
	top_history_add(model, numbers->history, numbers);
	add_to_total(&model->total, numbers);
}

/* Of the pools of which it is known. */
static double busy_part_of_all(const struct top_model *model)
{
	double busy = NAN, max = NAN;

	for (uint32_t i = 0; i < model->now.pool_count; i++) {
		const struct top_numbers *pool = &model->pools[i];

		if (isnan(pool->busy_part))
			continue;
		add(&busy, pool->busy_part * pool->max);
		add(&max, pool->max);
	}
	return busy / max;
}

static void measure_total(struct top_model *model, const struct pool_rates *lately)
{
	struct top_numbers *total = &model->total;
	struct histogram times = {0}, waits = {0};

	for (uint32_t i = 0; i < model->now.pool_count; i++) {
		histogram_merge(&times, &lately[i].times);
		histogram_merge(&waits, &lately[i].waits);
	}
	measure_times(total, &times, &waits);
	total->busy_part = busy_part_of_all(model);
	total->history = &model->instance;
	top_history_add(model, total->history, total);
}

static void measure(struct top_model *model, const struct comparison *compared)
{
	if (model->before.pools)
		rates_compute(&model->before, &model->now, compared->rates);
	if (model->older.pools)
		rates_compute(&model->older, &model->now, compared->lately);
	add_up_service(compared->served, &model->now);
	add_up_service(compared->served_before, &model->before);
	model->total = unknown;
	top_history_begin_look(model);
	for (uint32_t i = 0; i < model->now.pool_count; i++)
		measure_pool(model, i, compared);
	measure_total(model, compared->lately);
}

static int compare_looks(struct top_model *model, struct error *err)
{
	size_t now = model->now.pool_count + 1, before = model->before.pool_count + 1;
	struct comparison compared = {
		.rates = calloc(now, sizeof(*compared.rates)),
		.lately = calloc(now, sizeof(*compared.lately)),
		.served = calloc(now, sizeof(*compared.served)),
		.served_before = calloc(before, sizeof(*compared.served_before)),
	};
	int result = 0;

	if (compared.rates && compared.lately && compared.served && compared.served_before)
		measure(model, &compared);
	else
		result = error_set(err, EX_OSERR, "out of memory");
	free(compared.rates);
	free(compared.lately);
	free(compared.served);
	free(compared.served_before);
	return result;
}

/* ---- looks ---- */

/* Counters of another run begin at zero. */
static bool same_run(const struct snapshot *a, const struct snapshot *b)
{
	return a->pools && a->instance.pid == b->instance.pid &&
	       a->instance.started_usec == b->instance.started_usec;
}

static int copy_pools(struct snapshot *copy, const struct snapshot *from)
{
	*copy = *from;
	copy->workers = NULL;
	copy->worker_count = 0;
	copy->pools = calloc(from->pool_count + 1, sizeof(*copy->pools));
	if (!copy->pools)
		return -1;
	memcpy(copy->pools, from->pools, from->pool_count * sizeof(*copy->pools));
	return 0;
}

/* The window's end becomes its begin when it is old enough. */
static int move_window(struct top_model *model)
{
	uint64_t now = model->now.monotonic_usec;

	if (model->newer.pools && now - model->newer.monotonic_usec < WINDOW_USEC)
		return 0;
	snapshot_free(&model->older);
	model->older = model->newer;
	model->newer = (struct snapshot){0};
	if (copy_pools(&model->newer, &model->now) < 0)
		return -1;
	if (!model->older.pools)
		return copy_pools(&model->older, &model->now);
	return 0;
}

int top_model_take(struct top_model *model, struct snapshot *taken, struct error *err)
{
	if (!same_run(&model->now, taken))
		forget_looks(model);
	snapshot_free(&model->before);
	model->before = model->now;
	model->now = *taken;
	*taken = (struct snapshot){0};
	model->running = true;
	if (compare_looks(model, err) < 0)
		return -1;
	if (move_window(model) < 0)
		return error_set(err, EX_OSERR, "out of memory");
	top_rows_make(model);
	return 0;
}

void top_model_lost(struct top_model *model, const char *why)
{
	model->running = false;
	forget_looks(model);
	top_history_begin_look(model);
	model->total = unknown;
	snprintf(model->waiting, sizeof(model->waiting), "%s", why);
	top_rows_make(model);
}
