/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"

struct unit {
	const char *name;
	uint64_t factor;
};

/* The largest first, so that the first one that divides a value gives its shortest text. */
static const struct unit durations[] = {
	{"d", 24 * 3600 * USEC_PER_SEC}, {"h", 3600 * USEC_PER_SEC},
	{"m", 60 * USEC_PER_SEC},        {"s", USEC_PER_SEC},
	{"ms", USEC_PER_MSEC},           {NULL, 0},
};
static const struct unit sizes[] = {
	{"G", UINT64_C(1) << 30},
	{"M", UINT64_C(1) << 20},
	{"K", UINT64_C(1) << 10},
	{"", 1},
	{NULL, 0},
};
static const struct unit rates[] = {
	{"/h", 3600 * USEC_PER_SEC},
	{"/m", 60 * USEC_PER_SEC},
	{"/s", USEC_PER_SEC},
	{NULL, 0},
};

/* Reads digits and moves *text behind them. strtoull(3) would take signs, spaces and "". */
static int take_digits(const char **text, unsigned base, uint64_t *out)
{
	const char *p = *text;
	uint64_t value = 0;

	for (; *p >= '0' && *p < (char)('0' + base); p++)
		if (__builtin_mul_overflow(value, base, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return -1;
	if (p == *text)
		return -1;
	*text = p;
	*out = value;
	return 0;
}

static const struct unit *unit_named(const struct unit *units, const char *name)
{
	for (; units->name; units++)
		if (!strcmp(units->name, name))
			return units;
	return NULL;
}

static const struct unit *unit_dividing(const struct unit *units, uint64_t value)
{
	while (units[1].name && value % units->factor)
		units++;
	return units;
}

int parse_uint(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	uint64_t value;

	if (take_digits(&text, 10, &value) || *text || value < min || value > max)
		return -1;
	*out = value;
	return 0;
}

int parse_mode(const char *text, unsigned *out)
{
	uint64_t value;

	if (take_digits(&text, 8, &value) || *text || value > 0777)
		return -1;
	*out = (unsigned)value;
	return 0;
}

int parse_bool(const char *text, bool *out)
{
	static const struct {
		const char *name;
		bool value;
	} names[] = {
		{"true", true},   {"yes", true}, {"on", true},   {"1", true},
		{"false", false}, {"no", false}, {"off", false}, {"0", false},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(names[i].name, text))
			continue;
		*out = names[i].value;
		return 0;
	}
	return -1;
}

static int parse_with_unit(const char *text, const struct unit *units, uint64_t *out)
{
	const struct unit *unit;
	uint64_t value;

	if (take_digits(&text, 10, &value))
		return -1;
	unit = unit_named(units, text);
	if (!unit && (*text || value))
		return -1;
	if (unit && __builtin_mul_overflow(value, unit->factor, &value))
		return -1;
	*out = value;
	return 0;
}

int parse_duration(const char *text, uint64_t *usec)
{
	return parse_with_unit(text, durations, usec);
}

int parse_size(const char *text, uint64_t *bytes)
{
	return parse_with_unit(text, sizes, bytes);
}

int parse_rate(const char *text, struct rate *out)
{
	const struct unit *unit;
	uint64_t count;

	if (take_digits(&text, 10, &count))
		return -1;
	unit = unit_named(rates, text);
	if (!unit && (*text || count))
		return -1;
	/* `0/s` and `0/h` are the same "off", so that they compare equal. */
	out->count = count;
	out->per_usec = count ? unit->factor : 0;
	return 0;
}

const char *format_duration(char *text, uint64_t usec)
{
	const struct unit *unit = unit_dividing(durations, usec);
	/* What has no exact text is rounded up: 0 would mean "off". */
	uint64_t value = usec / unit->factor + (usec % unit->factor != 0);

	snprintf(text, PARSE_TEXT_MAX, "%" PRIu64 "%s", value, usec ? unit->name : "");
	return text;
}

const char *format_size(char *text, uint64_t bytes)
{
	const struct unit *unit = unit_dividing(sizes, bytes);

	snprintf(text, PARSE_TEXT_MAX, "%" PRIu64 "%s", bytes / unit->factor,
		 bytes ? unit->name : "");
	return text;
}

const char *format_rate(char *text, struct rate rate)
{
	const struct unit *unit = rates;

	while (unit[1].name && unit->factor != rate.per_usec)
		unit++;
	snprintf(text, PARSE_TEXT_MAX, "%" PRIu64 "%s", rate.count, rate.count ? unit->name : "");
	return text;
}
