/* SPDX-License-Identifier: ISC */
/* Text into a page of HTML. */
#ifndef HANDLERS_STATUS_HTML_H
#define HANDLERS_STATUS_HTML_H

#include <stdint.h>
#include <stdio.h>

/* Any bytes, as text: nothing of it is markup, in an element or in an attribute with quotes. */
void html_text(FILE *out, const char *text);
/* A cell of a table: class may be ""; the label is shown beside it where the screen is narrow. */
void html_cell(FILE *out, const char *label, const char *class, const char *text);

/* For people. HTML_SHOWN_MAX bytes; return text. */
#define HTML_SHOWN_MAX 48
/* `12 345`, with a narrow space that does not break. */
const char *html_count(char *text, uint64_t value);
/* `340 µs`, `1.2 ms`, `12 s`, and longer ones as html_age(). */
const char *html_usec(char *text, uint64_t usec);
/* `5 s`, `3 min 20 s`, `2 h 5 min`, `4 d 3 h`. */
const char *html_age(char *text, uint64_t usec);

#endif
