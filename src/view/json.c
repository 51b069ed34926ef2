/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <sysexits.h>

#include "view/json.h"

#ifdef HAVE_JANSSON

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/log.h"

/* More than the largest number of JSON in C can only be a corrupted board. */
static json_int_t capped(uint64_t value)
{
	return value <= INT64_MAX ? (json_int_t)value : INT64_MAX;
}

static json_t *number(uint64_t value)
{
	return json_integer(capped(value));
}

/* As it is: JSON has escapes of its own. Only what is not UTF-8 cannot be a string there. */
static json_t *text(const char *from)
{
	char safe[BOARD_VERDICT_MAX];
	json_t *string = json_string(from);

	return string ? string
		      : json_string((log_escape(safe, sizeof(safe), from, strlen(from)), safe));
}

/* jansson's `_new` calls take a NULL for a value and fail; memory is the only thing that can be
 * short here, and main's check of what was written shows it. */
static void add_fields(json_t *object, const struct field_info *fields, const uint64_t *values,
		       size_t count)
{
	for (size_t i = 0; i < count; i++)
		json_object_set_new_nocheck(object, fields[i].name, number(values[i]));
}

static json_t *connections_of(const uint64_t connections[CONNECTION_FIELDS])
{
	json_t *object = json_object();

	add_fields(object, connection_fields, connections, CONNECTION_FIELDS);
	json_object_set_new_nocheck(object, "open", number(view_open(connections)));
	return object;
}

/* What is not known is no 0. */
static json_t *known(const struct pool_view *pool, json_t *value)
{
	if (pool_counts_connections(pool))
		return value;
	json_decref(value);
	return json_null();
}

static json_t *known_number(uint64_t value)
{
	return value == UINT64_MAX ? json_null() : number(value);
}

/* For those who make quantiles of what came between two looks. */
static json_t *buckets_of(const struct histogram *histogram)
{
	json_t *array = json_array();

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		if (histogram->counts[i])
			json_array_append_new(array,
					      json_pack("[I,I]", (json_int_t)histogram_value(i),
							capped(histogram->counts[i])));
	return array;
}

/* Of none there is nothing but that. */
static json_t *times_of(const struct histogram *histogram)
{
	static const struct {
		const char *name;
		double share;
	} quantiles[] = {{"p50_usec", 0.5},
			 {"p90_usec", 0.9},
			 {"p99_usec", 0.99},
			 {"p999_usec", 0.999},
			 {"max_usec", 1}};
	uint64_t count = histogram_count(histogram);
	json_t *object = json_object();

	json_object_set_new_nocheck(object, "count", number(count));
	json_object_set_new_nocheck(object, "mean_usec",
				    count ? number(histogram_mean(histogram)) : json_null());
	for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++)
		json_object_set_new_nocheck(
			object, quantiles[i].name,
			count ? number(histogram_quantile(histogram, quantiles[i].share))
			      : json_null());
	json_object_set_new_nocheck(object, "buckets", buckets_of(histogram));
	return object;
}

static json_t *pool_of(const struct pool_view *pool)
{
	json_t *object = json_object();

	json_object_set_new_nocheck(object, "service", text(pool->service));
	json_object_set_new_nocheck(object, "address", text(pool->address));
	json_object_set_new_nocheck(object, "handler", text(pool->handler));
	add_fields(object, pool_fields, pool->values, POOL_FIELDS);
	json_object_set_new_nocheck(object, "queued", known_number(pool->values[POOL_queued]));
	json_object_set_new_nocheck(object, "queue_limit",
				    known_number(pool->values[POOL_queue_limit]));
	json_object_set_new_nocheck(object, "idle", known(pool, number(pool->idle)));
	json_object_set_new_nocheck(object, "busy", known(pool, number(pool->busy)));
	json_object_set_new_nocheck(object, "degraded", json_boolean(pool_degraded(pool)));
	json_object_set_new_nocheck(object, "saturated", json_boolean(pool_saturated(pool)));
	json_object_set_new_nocheck(object, "torn", json_boolean(pool->torn));
	json_object_set_new_nocheck(object, "times", known(pool, times_of(&pool->times)));
	json_object_set_new_nocheck(object, "waits", known(pool, times_of(&pool->waits)));
	json_object_set_new_nocheck(object, "connections",
				    known(pool, connections_of(pool->connections)));
	return object;
}

static json_t *time_of(const struct snapshot *snapshot, uint64_t monotonic_usec)
{
	if (monotonic_usec == 0)
		return json_null();
	return number(snapshot->realtime_usec - snapshot_age(snapshot, monotonic_usec));
}

static json_t *client_of(const struct worker_view *worker)
{
	char client[ADDRESS_TEXT_MAX];

	if (*worker_client(worker, client) == '\0')
		return json_null();
	return json_string(client);
}

static json_t *worker_of(const struct snapshot *snapshot, const struct worker_view *worker)
{
	const struct pool_view *pool = &snapshot->pools[worker->pool];
	json_t *object = json_object();

	json_object_set_new_nocheck(object, "pid", number(worker->pid));
	json_object_set_new_nocheck(object, "service", text(pool->service));
	json_object_set_new_nocheck(object, "address", text(pool->address));
	json_object_set_new_nocheck(object, "state", json_string(slot_state_names[worker->state]));
	json_object_set_new_nocheck(object, "leaving", json_boolean(worker->leaving));
	json_object_set_new_nocheck(object, "generation", number(worker->generation));
	json_object_set_new_nocheck(object, "started_usec",
				    time_of(snapshot, worker->started_usec));
	json_object_set_new_nocheck(object, "since_usec", time_of(snapshot, worker->since_usec));
	json_object_set_new_nocheck(object, "client", client_of(worker));
	json_object_set_new_nocheck(object, "torn", json_boolean(worker->torn));
	json_object_set_new_nocheck(object, "connections",
				    known(pool, connections_of(worker->connections)));
	return object;
}

static json_t *ledger_of(const struct ledger_view *ledger, const char *number_name)
{
	json_t *object = json_object();

	json_object_set_new_nocheck(object, number_name, number(ledger->number));
	json_object_set_new_nocheck(object, "begun_usec",
				    ledger->at_usec ? number(ledger->at_usec) : json_null());
	json_object_set_new_nocheck(object, "workers", number(ledger->workers));
	json_object_set_new_nocheck(object, "queued_at_close", number(ledger->queued_at_close));
	json_object_set_new_nocheck(object, "connections", connections_of(ledger->connections));
	return object;
}

static json_t *generations_of(const struct ledgers_view *ledgers)
{
	json_t *array = json_array();

	for (size_t i = 0; i < ledgers->generation_count; i++)
		json_array_append_new(array, ledger_of(&ledgers->generations[i], "generation"));
	return array;
}

static json_t *replaced_of(const struct ledgers_view *ledgers)
{
	static const struct {
		enum verdict_kind kind;
		const char *name;
	} kinds[] = {
		{VERDICT_RELOAD, "reload"}, {VERDICT_UPGRADE, "upgrade"}, {VERDICT_STOP, "stop"}};
	json_t *object = json_object();

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const struct ledger_view *ledger = &ledgers->replaced[kinds[i].kind];

		json_object_set_new_nocheck(object, kinds[i].name,
					    ledger->number ? ledger_of(ledger, "number")
							   : json_null());
	}
	return object;
}

static json_t *instance_of(const struct snapshot *snapshot)
{
	const struct instance_view *instance = &snapshot->instance;
	json_t *object = json_object();

	json_object_set_new_nocheck(object, "instance", text(instance->instance));
	json_object_set_new_nocheck(object, "version", text(instance->version));
	json_object_set_new_nocheck(object, "state",
				    json_string(master_state_names[instance->state]));
	json_object_set_new_nocheck(object, "degraded", json_boolean(snapshot_degraded(snapshot)));
	json_object_set_new_nocheck(object, "pid", number(instance->pid));
	json_object_set_new_nocheck(object, "started_usec", number(instance->started_usec));
	add_fields(object, instance_fields, instance->values, INSTANCE_FIELDS);
	json_object_set_new_nocheck(object, "connections", connections_of(instance->connections));
	json_object_set_new_nocheck(object, "generations", generations_of(&snapshot->ledgers));
	json_object_set_new_nocheck(object, "replaced", replaced_of(&snapshot->ledgers));
	return object;
}

/* jansson writes each word by itself: together they are many times as fast. */
struct pieces {
	FILE *out;
	size_t size;
	char bytes[16384];
};

static int flush(struct pieces *pieces)
{
	size_t size = pieces->size;

	pieces->size = 0;
	return fwrite(pieces->bytes, 1, size, pieces->out) == size ? 0 : -1;
}

static int add_piece(const char *piece, size_t size, void *context)
{
	struct pieces *pieces = context;

	if (size > sizeof(pieces->bytes) - pieces->size && flush(pieces) < 0)
		return -1;
	if (size > sizeof(pieces->bytes))
		return fwrite(piece, 1, size, pieces->out) == size ? 0 : -1;
	memcpy(pieces->bytes + pieces->size, piece, size);
	pieces->size += size;
	return 0;
}

/* Frees object. */
static int print(json_t *object, FILE *out, struct error *err)
{
	struct pieces pieces;
	int result = 0;

	pieces.out = out;
	pieces.size = 0;
	if (!object || json_dump_callback(object, add_piece, &pieces, JSON_INDENT(2)) < 0 ||
	    flush(&pieces) < 0)
		result = error_set(err, EX_IOERR, "JSON could not be written: %s", strerror(errno));
	fputc('\n', out);
	json_decref(object);
	return result;
}

int view_json(const struct snapshot *snapshot, FILE *out, struct error *err)
{
	json_t *object = instance_of(snapshot);
	json_t *pools = json_array(), *workers = json_array();

	for (uint32_t i = 0; i < snapshot->pool_count; i++)
		json_array_append_new(pools, pool_of(&snapshot->pools[i]));
	for (uint32_t i = 0; i < snapshot->worker_count; i++)
		json_array_append_new(workers, worker_of(snapshot, &snapshot->workers[i]));
	json_object_set_new_nocheck(object, "pools", pools);
	json_object_set_new_nocheck(object, "workers", workers);
	return print(object, out, err);
}

int view_json_verdict(FILE *out, const char *verb, const struct verdict_view *verdict,
		      const uint64_t *totals, const struct ledger_view *replaced, struct error *err)
{
	json_t *object = json_object();

	json_object_set_new_nocheck(object, "verb", json_string(verb));
	json_object_set_new_nocheck(object, "number", number(verdict->finished));
	json_object_set_new_nocheck(object, "failed", json_boolean(verdict->failed));
	json_object_set_new_nocheck(object, "at_usec", number(verdict->at_usec));
	json_object_set_new_nocheck(object, "text", text(verdict->text));
	if (totals)
		json_object_set_new_nocheck(object, "connections", connections_of(totals));
	if (replaced)
		json_object_set_new_nocheck(object, "replaced", ledger_of(replaced, "number"));
	return print(object, out, err);
}

#else

static int built_without(struct error *err)
{
	return error_set(err, EX_UNAVAILABLE, "--json: this preforkctl was built without jansson");
}

int view_json(const struct snapshot *snapshot, FILE *out, struct error *err)
{
	(void)snapshot, (void)out;
	return built_without(err);
}

int view_json_verdict(FILE *out, const char *verb, const struct verdict_view *verdict,
		      const uint64_t *totals, const struct ledger_view *replaced, struct error *err)
{
	(void)out, (void)verb, (void)verdict, (void)totals, (void)replaced;
	return built_without(err);
}

#endif
