/* SPDX-License-Identifier: ISC */
/* How top writes numbers, texts and curves into a few columns of a screen. */
#ifndef CTL_TOP_TEXT_H
#define CTL_TOP_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A number of 5 columns at most: `0` `0.3` `42` `9999` `12.3k` `4.5M`; NAN, not known: `-`. */
#define TOP_NUMBER_MAX 16
const char *top_number(char text[TOP_NUMBER_MAX], double value);
/* The same for a time in microseconds: `850us` `1.2ms` `12s` `3m` `4d`. */
const char *top_time(char text[TOP_NUMBER_MAX], double usec);

enum top_elide { TOP_ELIDE_END, TOP_ELIDE_MIDDLE };

/* Whether the locale's characters are Unicode in UTF-8. */
bool top_locale_is_utf8(void);
/* The columns of a text once top_fit() has made it harmless. */
int top_width(const char *from);
/*
 * Writes `from`, which may be anything, into at most `columns` columns of printable characters of
 * the locale, as multibyte text. What moves or hides other text is escaped or a question mark; what
 * does not fit is replaced by an ellipsis. Needs TOP_FIT_MAX(columns) bytes. Returns the columns
 * used.
 */
#define TOP_FIT_MAX(columns) (4 * (size_t)(columns) + 1)
int top_fit(char *text, int columns, const char *from, enum top_elide elide);

/*
 * A curve of `count` values, the last at the right end, one column each; NAN is a gap. `most` is
 * the top of the scale; 0: the most of the values. Needs TOP_FIT_MAX(count) bytes.
 */
void top_curve(char *text, const float *values, int count, double most, bool utf8);

#endif
