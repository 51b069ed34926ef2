/* SPDX-License-Identifier: ISC */
/*
 * Numbers with and without units, strictly: the whole text must be the value; signs, spaces,
 * fractions, overflow and trailing text are errors. Every function returns 0, or -1 with *out
 * untouched.
 */
#ifndef BASE_PARSE_H
#define BASE_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define USEC_PER_MSEC UINT64_C(1000)
#define USEC_PER_SEC  UINT64_C(1000000)

/* A decimal number from min to max. */
int parse_uint(const char *text, uint64_t min, uint64_t max, uint64_t *out);
/* Octal digits, at most 0777. */
int parse_mode(const char *text, unsigned *out);
/* true yes on 1, false no off 0. */
int parse_bool(const char *text, bool *out);
/* `500ms` `30s` `5m` `1h` `1d`, or `0`; in microseconds. Any other number needs its unit. */
int parse_duration(const char *text, uint64_t *usec);
/* `512` `64K` `10M` `2G`, in bytes (powers of 1024). */
int parse_size(const char *text, uint64_t *bytes);

struct rate {
	uint64_t count;
	uint64_t per_usec; /* a second, a minute, an hour */
};
/* `100/s` `600/m` `10/h`, or `0`. */
int parse_rate(const char *text, struct rate *out);

/* The shortest text that parses to the same value. `text` has at least PARSE_TEXT_MAX bytes.
 * Returns text. */
#define PARSE_TEXT_MAX 40
const char *format_duration(char *text, uint64_t usec);
const char *format_size(char *text, uint64_t bytes);
const char *format_rate(char *text, struct rate rate);

#endif
