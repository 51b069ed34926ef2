/* SPDX-License-Identifier: ISC */
/*
 * Lines to stderr: `preforkd[PID]: TEXT`, with the `<N>` prefix of sd-daemon(3) when stderr is not
 * a terminal. One write(2) a line; control characters in a line are shown as escapes, so that
 * nothing a client sent can forge a second line.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_NOTICE,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};

/* The name that starts each line, and the least important level that is written. */
void log_open(const char *ident, enum log_level level);
void log_set_level(enum log_level level);
/* From here on the level is what is stored there, whoever changes it. */
void log_follow_level(const _Atomic uint32_t *level);
/* What the lines of this process are about (a worker: its service and address), or NULL. Not
 * copied. */
void log_set_subject(const char *subject);
/* From a name of the configuration (error warning notice info debug). Returns 0, or -1. */
int log_level_from_name(const char *name, enum log_level *level);
const char *log_level_name(enum log_level level);

/* Writes one line; errno is kept. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...)  log_line(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

/*
 * Copies size bytes of data to text (room bytes, always terminated), with everything but printable
 * ASCII and valid UTF-8 without control characters as \xNN, \n, \t, \\. Returns its length; text
 * that does not fit ends in "...".
 */
size_t log_escape(char *text, size_t room, const void *data, size_t size);

/* Stops a flood: true at most once in every `interval` microseconds. Zeroed is ready. */
struct log_limit {
	unsigned long long next;
	unsigned long long suppressed; /* since the last true */
};
bool log_limit_passes(struct log_limit *limit, unsigned long long interval_usec);

#endif
