/* SPDX-License-Identifier: ISC */
/* Every key, once: its name, type, place in struct service_config or struct config, bounds and
 * default. */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WHY_MAX 200

struct key;

/* A type of value. */
struct key_type {
	const char *name;
	/* From text. Returns 0, or -1 with `why` (WHY_MAX bytes): what would be right. */
	int (*parse)(const struct key *key, const char *text, void *field, char *why);
	/* To text that parses to the same: allocated. NULL for lists. */
	char *(*format)(const struct key *key, const void *field);
	bool is_list;
	bool is_text; /* owns its memory, and is quoted by --dump */
};

enum key_scope {
	KEY_SERVICE, /* only inside a service */
	KEY_DEFAULT, /* inside a service, and outside as the default of all */
	KEY_MASTER,  /* only outside: the daemon's own */
};

struct key {
	const char *name;
	const struct key_type *type;
	enum key_scope scope;
	size_t offset;
	int64_t min, max;
	const char *fallback;     /* the default, as text; NULL: empty, or by the kind of handler */
	const char *const *names; /* of a choice, NULL-terminated */
};

extern const struct key schema[];
extern const size_t schema_count;

const struct key *schema_find(const char *name);
/* The key whose name is most like `name`, for "did you mean"; NULL when none is. */
const struct key *schema_guess(const char *name);

#endif
