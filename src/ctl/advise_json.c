/* SPDX-License-Identifier: ISC */
/* Advice for programs; preforkctl(1) says what the members are. */
#include <config.h>

#include <sysexits.h>

#include "ctl/advise.h"

#ifdef HAVE_JANSSON

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Members that memory was too short for are missing, and the printing fails. */
static void put(json_t *object, const char *name, json_t *value)
{
	json_object_set_new(object, name, value);
}

/* JSON has no infinity. */
static void put_real(json_t *object, const char *name, double value)
{
	put(object, name, isfinite(value) ? json_real(value) : json_null());
}

static void put_number(json_t *object, const char *name, uint64_t value)
{
	put(object, name, json_integer((json_int_t)value));
}

static json_t *text(const char *from)
{
	char escaped[4 * BOARD_ADDRESS_MAX];
	json_t *string = json_string(from);

	return string ? string : json_string(ctl_escape(escaped, sizeof(escaped), from));
}

static json_t *warnings_of(const struct advice *a)
{
	json_t *array = json_array();

	for (int i = 0; i < ADVICE_WARNINGS; i++)
		if (advice_warns(a, (enum advice_warning)i))
			json_array_append_new(array, json_string(advice_warning_names[i]));
	return array;
}

static json_t *workers_of(uint64_t workers, double chance, double wait)
{
	json_t *object = json_object();

	put_number(object, "workers", workers);
	put_real(object, "wait_chance", chance);
	put_real(object, "wait_seconds", wait);
	return object;
}

static json_t *keys_of(const struct advice *a)
{
	struct advice_keys keys = advice_keys(a);
	json_t *object = json_object();

	put_number(object, "workers", keys.workers);
	put_number(object, "workers_max", keys.workers_max);
	if (keys.spare)
		put_number(object, "spare", keys.spare);
	return object;
}

static void put_advice(json_t *object, const struct advised *advised)
{
	const struct advice *a = &advised->advice;

	put_real(object, "rate", a->rate);
	put_real(object, "time", a->time);
	put_real(object, "scv", a->scv);
	put_real(object, "load", a->load);
	put(object, "needed",
	    a->needed ? workers_of(a->needed, a->needed_chance, a->needed_wait) : json_null());
	if (a->there)
		put(object, "there", workers_of(a->there, a->there_chance, a->there_wait));
	if (advised->worker_bytes)
		put_number(object, "worker_bytes", advised->worker_bytes);
	put(object, "configuration", a->needed ? keys_of(a) : json_null());
}

static json_t *advised_of(const struct advised *advised)
{
	const struct advice *a = &advised->advice;
	json_t *object = json_object();

	if (advised->pool) {
		put(object, "service", text(advised->pool->service));
		put(object, "address", text(advised->pool->address));
		put_real(object, "seconds", advised->seconds);
	}
	put_real(object, "wait", a->chance);
	if (!advice_warns(a, ADVICE_UNSEEN) && !advice_warns(a, ADVICE_NOTHING))
		put_advice(object, advised);
	put(object, "warnings", warnings_of(a));
	return object;
}

int advise_json(const struct advised *advised, size_t count, struct error *err)
{
	json_t *object = json_object(), *pools = json_array();
	int result = 0;

	for (size_t i = 0; i < count; i++)
		json_array_append_new(pools, advised_of(&advised[i]));
	put(object, "advice", pools);
	if (json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) < 0)
		result = error_set(err, EX_IOERR, "JSON could not be written: %s", strerror(errno));
	putchar('\n');
	json_decref(object);
	return result;
}

#else

int advise_json(const struct advised *advised, size_t count, struct error *err)
{
	(void)advised, (void)count;
	return error_set(err, EX_UNAVAILABLE, "--json: this preforkctl was built without jansson");
}

#endif
