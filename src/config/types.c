/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <assert.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parse.h"
#include "config/config.h"
#include "config/types.h"

static int parse_count(const struct key *key, const char *text, void *field, char *why)
{
	if (parse_uint(text, (uint64_t)key->min, (uint64_t)key->max, field) == 0)
		return 0;
	if (key->max == INT64_MAX)
		snprintf(why, WHY_MAX, "a number from %" PRId64 " up", key->min);
	else
		snprintf(why, WHY_MAX, "a number from %" PRId64 " to %" PRId64, key->min, key->max);
	return -1;
}

static char *format_count(const struct key *key, const void *field)
{
	(void)key;
	return mem_format("%" PRIu64, *(const uint64_t *)field);
}

static int parse_time(const struct key *key, const char *text, void *field, char *why)
{
	uint64_t usec;
	char max[PARSE_TEXT_MAX];

	if (parse_duration(text, &usec) < 0) {
		snprintf(why, WHY_MAX, "a time as in 500ms, 30s, 5m, 1h, 1d, or 0");
		return -1;
	}
	if (usec > (uint64_t)key->max) {
		snprintf(why, WHY_MAX, "at most %s", format_duration(max, (uint64_t)key->max));
		return -1;
	}
	*(uint64_t *)field = usec;
	return 0;
}

static char *format_time(const struct key *key, const void *field)
{
	char text[PARSE_TEXT_MAX];

	(void)key;
	return mem_text(format_duration(text, *(const uint64_t *)field));
}

static int parse_bytes(const struct key *key, const char *text, void *field, char *why)
{
	uint64_t bytes;

	char min[PARSE_TEXT_MAX];

	if (parse_size(text, &bytes) < 0 || bytes > (uint64_t)key->max) {
		snprintf(why, WHY_MAX, "a size as in 64K, 10M, 2G, or 0");
		return -1;
	}
	if (bytes && bytes < (uint64_t)key->min) {
		snprintf(why, WHY_MAX, "at least %s, or 0", format_size(min, (uint64_t)key->min));
		return -1;
	}
	*(uint64_t *)field = bytes;
	return 0;
}

static char *format_bytes(const struct key *key, const void *field)
{
	char text[PARSE_TEXT_MAX];

	(void)key;
	return mem_text(format_size(text, *(const uint64_t *)field));
}

static int parse_frequency(const struct key *key, const char *text, void *field, char *why)
{
	struct rate rate;

	if (parse_rate(text, &rate) < 0) {
		snprintf(why, WHY_MAX, "a rate as in 100/s, 600/m, 10/h, or 0");
		return -1;
	}
	if (rate.count && rate.count > (uint64_t)key->max * (rate.per_usec / USEC_PER_SEC)) {
		snprintf(why, WHY_MAX, "at most %" PRId64 "/s, or 0 for no limit", key->max);
		return -1;
	}
	*(struct rate *)field = rate;
	return 0;
}

static char *format_frequency(const struct key *key, const void *field)
{
	char text[PARSE_TEXT_MAX];

	(void)key;
	return mem_text(format_rate(text, *(const struct rate *)field));
}

static int parse_truth(const struct key *key, const char *text, void *field, char *why)
{
	(void)key;
	if (parse_bool(text, field) == 0)
		return 0;
	snprintf(why, WHY_MAX, "true or false");
	return -1;
}

static char *format_truth(const struct key *key, const void *field)
{
	(void)key;
	return mem_text(*(const bool *)field ? "true" : "false");
}

static int parse_octal(const struct key *key, const char *text, void *field, char *why)
{
	(void)key;
	if (parse_mode(text, field) == 0)
		return 0;
	snprintf(why, WHY_MAX, "octal permissions as in 0660, at most 0777");
	return -1;
}

static char *format_octal(const struct key *key, const void *field)
{
	(void)key;
	return mem_format("%04o", *(const unsigned *)field);
}

static int parse_choice(const struct key *key, const char *text, void *field, char *why)
{
	size_t used;

	for (unsigned i = 0; key->names[i]; i++) {
		if (strcmp(text, key->names[i]) == 0) {
			*(unsigned *)field = i;
			return 0;
		}
	}
	used = (size_t)snprintf(why, WHY_MAX, "one of");
	for (unsigned i = 0; key->names[i] && used < WHY_MAX; i++)
		used += (size_t)snprintf(why + used, WHY_MAX - used, "%s %s", i ? "," : "",
					 key->names[i]);
	return -1;
}

static char *format_choice(const struct key *key, const void *field)
{
	return mem_text(key->names[*(const unsigned *)field]);
}

static int parse_signed(const char *text, int64_t min, int64_t max, int64_t *out)
{
	uint64_t number;
	bool negative = *text == '-';

	if (parse_uint(text + negative, 0, INT64_MAX, &number) < 0)
		return -1;
	*out = negative ? -(int64_t)number : (int64_t)number;
	return *out < min || *out > max ? -1 : 0;
}

static int parse_optional(const struct key *key, const char *text, void *field, char *why)
{
	struct optional value = {.set = strcmp(text, "inherit") != 0};

	if (value.set && parse_signed(text, key->min, key->max, &value.value) < 0) {
		snprintf(why, WHY_MAX, "a number from %" PRId64 " to %" PRId64 ", or inherit",
			 key->min, key->max);
		return -1;
	}
	*(struct optional *)field = value;
	return 0;
}

static char *format_optional(const struct key *key, const void *field)
{
	const struct optional *value = field;

	(void)key;
	return value->set ? mem_format("%" PRId64, value->value) : mem_text("inherit");
}

static int parse_optional_size(const struct key *key, const char *text, void *field, char *why)
{
	struct optional value = {.set = strcmp(text, "inherit") != 0};
	uint64_t bytes = 0;

	if (value.set && (parse_size(text, &bytes) < 0 || bytes > (uint64_t)key->max)) {
		snprintf(why, WHY_MAX, "a size as in 512, 64K, 10M, 2G, or inherit");
		return -1;
	}
	value.value = (int64_t)bytes;
	*(struct optional *)field = value;
	return 0;
}

static char *format_optional_size(const struct key *key, const void *field)
{
	const struct optional *value = field;
	char text[PARSE_TEXT_MAX];

	(void)key;
	return mem_text(value->set ? format_size(text, (uint64_t)value->value) : "inherit");
}

static int parse_text(const struct key *key, const char *text, void *field, char *why)
{
	char **out = field;

	if (key->max && strlen(text) > (size_t)key->max) {
		snprintf(why, WHY_MAX, "at most %" PRId64 " characters", key->max);
		return -1;
	}
	free(*out);
	*out = mem_text(text);
	return 0;
}

static int parse_path(const struct key *key, const char *text, void *field, char *why)
{
	if (*text && *text != '/') {
		snprintf(why, WHY_MAX, "an absolute path");
		return -1;
	}
	return parse_text(key, text, field, why);
}

static char *format_text(const struct key *key, const void *field)
{
	(void)key;
	return mem_text(*(char *const *)field);
}

static bool ends_nobody(unsigned signal)
{
	return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU ||
	       signal == SIGCONT;
}

/* TERM or SIGTERM. */
static int parse_signal(const struct key *key, const char *text, void *field, char *why)
{
	const char *name = strncmp(text, "SIG", 3) == 0 ? text + 3 : text;

	(void)key;
	for (unsigned i = 1; i < NSIG; i++) {
		if (!sigabbrev_np((int)i) || strcmp(sigabbrev_np((int)i), name) != 0 ||
		    ends_nobody(i))
			continue;
		*(unsigned *)field = i;
		return 0;
	}
	snprintf(why, WHY_MAX, "a signal's name as in TERM, INT, QUIT, HUP");
	return -1;
}

static char *format_signal(const struct key *key, const void *field)
{
	(void)key;
	return mem_text(sigabbrev_np((int)*(const unsigned *)field));
}

static int parse_list(const struct key *key, const char *text, void *field, char *why)
{
	struct text_list *list = field;

	(void)key;
	(void)why;
	list->items = mem_grow(list->items, list->count + 1, sizeof(*list->items));
	list->items[list->count++] = mem_text(text);
	return 0;
}

static int parse_rules(const struct key *key, const char *text, void *field, char *why)
{
	struct rule rule;

	static_assert(RULE_WHY_MAX <= WHY_MAX, "it must fit");
	if (rule_parse(text, &rule, why) < 0)
		return -1;
	return parse_list(key, text, field, why);
}

const struct key_type type_count = {.name = "number", .parse = parse_count, .format = format_count};
const struct key_type type_duration = {.name = "time", .parse = parse_time, .format = format_time};
const struct key_type type_size = {.name = "size", .parse = parse_bytes, .format = format_bytes};
const struct key_type type_rate = {
	.name = "rate", .parse = parse_frequency, .format = format_frequency};
const struct key_type type_bool = {.name = "truth", .parse = parse_truth, .format = format_truth};
const struct key_type type_mode = {.name = "mode", .parse = parse_octal, .format = format_octal};
const struct key_type type_choice = {
	.name = "choice", .parse = parse_choice, .format = format_choice};
const struct key_type type_optional = {
	.name = "number", .parse = parse_optional, .format = format_optional};
const struct key_type type_optional_size = {
	.name = "size", .parse = parse_optional_size, .format = format_optional_size};
const struct key_type type_text = {
	.name = "text", .parse = parse_text, .format = format_text, .is_text = true};
const struct key_type type_path = {
	.name = "path", .parse = parse_path, .format = format_text, .is_text = true};
const struct key_type type_signal = {
	.name = "signal", .parse = parse_signal, .format = format_signal};
const struct key_type type_list = {.name = "list", .parse = parse_list, .is_list = true};
const struct key_type type_rules = {.name = "rules", .parse = parse_rules, .is_list = true};
