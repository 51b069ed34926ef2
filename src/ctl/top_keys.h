/* SPDX-License-Identifier: ISC */
/* The keys of top: a table, from which its help is made too. */
#ifndef CTL_TOP_KEYS_H
#define CTL_TOP_KEYS_H

#include "ctl/top_model.h"

/* A key is a character, or one of those of curses as TOP_SPECIAL(KEY_UP). */
#define TOP_SPECIAL(key) (-(key))
#define TOP_KEY_CODES    4

struct top_key {
	int codes[TOP_KEY_CODES];
	const char *shown;
	const char *help;
	const char *brief; /* in the last line of the screen; NULL: not there */
	void (*press)(struct top_model *model);
};

void top_press(struct top_model *model, int key);
/* Those of every mode but the typing of a filter; the last one has no `shown`. The columns have
 * keys besides. */
const struct top_key *top_keys(void);

#endif
