/* SPDX-License-Identifier: ISC */
/* The table of verbs: finding one, and its help. */
#include <config.h>

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "ctl/ctl.h"

#define NAME_MAX_SHOWN 64

static size_t least(size_t a, size_t b, size_t c)
{
	size_t ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* How many letters must be put in, taken out or changed; a row of Levenshtein's matrix at a time.
 */
static size_t distance(const char *a, const char *b)
{
	size_t row[NAME_MAX_SHOWN + 1], size = strlen(b);

	if (strlen(a) > NAME_MAX_SHOWN || size > NAME_MAX_SHOWN)
		return NAME_MAX_SHOWN;
	for (size_t j = 0; j <= size; j++)
		row[j] = j;
	for (size_t i = 0; a[i]; i++) {
		size_t diagonal = row[0];
		row[0] = i + 1;
		for (size_t j = 1; j <= size; j++) {
			size_t above = row[j];
			row[j] = least(above + 1, row[j - 1] + 1, diagonal + (a[i] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[size];
}

/* NULL when none is near. */
static const struct ctl_verb *nearest(const struct ctl_verb *verbs, const char *name)
{
	const struct ctl_verb *best = NULL;
	size_t best_distance = 3;

	for (const struct ctl_verb *verb = verbs; verb->name; verb++) {
		size_t length = strlen(name);
		bool begins = length >= 2 && strncmp(verb->name, name, length) == 0;
		size_t d = begins ? 0 : distance(name, verb->name);
		/* All letters of a short word changed is no likeness. */
		if (d < best_distance && d < length) {
			best = verb;
			best_distance = d;
		}
	}
	return best;
}

const struct ctl_verb *verbs_find(const struct ctl_verb *verbs, const char *name, struct error *err)
{
	for (const struct ctl_verb *verb = verbs; verb->name; verb++)
		if (strcmp(verb->name, name) == 0)
			return verb;
	const struct ctl_verb *near = nearest(verbs, name);
	if (near)
		error_set(err, EX_USAGE, "unknown verb \"%s\"; did you mean \"%s\"?", name,
			  near->name);
	else
		error_set(err, EX_USAGE, "unknown verb \"%s\"; preforkctl --help lists them", name);
	return NULL;
}

int verbs_help(const struct ctl_verb *verbs)
{
	puts("usage: preforkctl [OPTION...] VERB [ARGUMENT...]\n\nVerbs:");
	for (const struct ctl_verb *verb = verbs; verb->name; verb++) {
		char left[64];
		snprintf(left, sizeof(left), "%s %s", verb->name, verb->usage);
		printf("  %-32s %s\n", left, verb->help);
	}
	puts("\nOptions, before or after the verb:");
	options_help(OPTIONS_GLOBAL | OPTIONS_JSON);
	puts("\npreforkctl VERB --help shows a verb's own; preforkctl(1) says more.");
	return 0;
}

int verb_help(const struct ctl_verb *verb)
{
	printf("usage: preforkctl %s [OPTION...] %s\n", verb->name, verb->usage);
	printf("\n%s\n\nOptions:\n", verb->help);
	options_help(OPTIONS_GLOBAL | verb->options);
	return 0;
}
