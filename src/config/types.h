/* SPDX-License-Identifier: ISC */
/* The types that keys can have. */
#ifndef CONFIG_TYPES_H
#define CONFIG_TYPES_H

#include "config/schema.h"

extern const struct key_type type_count;         /* uint64_t */
extern const struct key_type type_duration;      /* uint64_t, microseconds */
extern const struct key_type type_size;          /* uint64_t, bytes */
extern const struct key_type type_rate;          /* struct rate; max: connections a second */
extern const struct key_type type_bool;          /* bool */
extern const struct key_type type_mode;          /* unsigned */
extern const struct key_type type_choice;        /* unsigned, an index into key->names */
extern const struct key_type type_optional;      /* struct optional */
extern const struct key_type type_optional_size; /* struct optional, bytes */
extern const struct key_type type_text;          /* char *, owned; max: its greatest length */
extern const struct key_type type_path;          /* char *, absolute or empty */
extern const struct key_type type_signal;        /* unsigned, its number */
extern const struct key_type type_list;          /* struct text_list; parse appends */
extern const struct key_type type_rules;         /* the same, of what base/rules.h knows */

#endif
