/* SPDX-License-Identifier: ISC */
/* An error on its way to whoever reports it: an exit code of sysexits(3) and a text. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/messages.h"

#define ERROR_TEXT_MAX 1024

struct error {
	int code;                 /* EX_CONFIG, EX_NOPERM, EX_UNAVAILABLE, EX_OSERR ... */
	enum log_message message; /* its own in the journal; error_set() sets none */
	char text[ERROR_TEXT_MAX];
};

/* Fills err (which may be NULL) and returns -1, so that a caller can `return error_set(...)`. */
int error_set(struct error *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The exit code of sysexits(3) for an errno of a socket, file or fork call. */
int error_code_of(int errnum);

/* A list of texts, for a reader who wants to see every mistake at once. Zeroed is empty. */
struct error_list {
	char **texts; /* ended by a NULL; fewer than count when memory was short */
	size_t count;
	int code; /* of the first one added */
};

/* Adds a text. When memory is short the text is dropped, but the count still rises. */
void error_list_add(struct error_list *list, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The texts joined by newlines, allocated; NULL when memory is short. */
char *error_list_join(const struct error_list *list);
void error_list_free(struct error_list *list);

#endif
