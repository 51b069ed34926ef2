/* SPDX-License-Identifier: ISC */
#ifndef BASE_LOG_ESCAPE_H
#define BASE_LOG_ESCAPE_H

#include <stddef.h>

/* As log_escape(), but backslashes stay single: a text that was made safe before must not be
 * escaped again. */
size_t log_escape_line(char *text, size_t room, const void *data, size_t size);

#endif
