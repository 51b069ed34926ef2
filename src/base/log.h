/* SPDX-License-Identifier: ISC */
/*
 * Lines to stderr: `preforkd[PID]: TEXT`, with the `<N>` prefix of sd-daemon(3) when stderr is not
 * a terminal. Where stderr is the journal, entries by its native protocol with fields for what the
 * line is about. Control characters in a line are shown as escapes, so that nothing a client sent
 * can forge a second line. One system call a line, which never waits: what does not go out at once
 * is lost, counted, and said as soon as a line goes out again.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/messages.h"

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
/* The instance that the entries of the journal name. Not copied. */
void log_set_instance(const char *instance);
/* What all lines of this process are about, a worker: they begin with `service "NAME" [ADDRESS]: `.
 * Not copied; NULL, NULL: nothing. */
void log_set_subject(const char *service, const char *address);
/* Lines that are lost are counted there too, or, with NULL, no longer. */
void log_count_losses(_Atomic uint64_t *counter);

/* Entries go to the journald that listens at path, which is not copied, instead of stderr. Returns
 * 0, or -1 with errno and nothing changed. */
int log_use_journal(const char *path);
/* In a forked process that changes its user: a connection to the journal of its own. One that is
 * shared could be led elsewhere, by whoever takes that process over, for all. */
void log_part(void);
/* That connection, for a process that closes what it does not know; -1: none. */
int log_descriptor(void);
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

/* For a process that ends with what it said: journald finds the unit of an entry only as long as
 * its process is there. Waits a moment where that matters. */
void log_linger(void);

/* What a line is about: fields in the journal, not part of the text. Zeroed is nothing. */
struct log_about {
	const char *service, *address;
	const char *source; /* the client */
	pid_t worker;
	bool timed, counted; /* the duration, the bytes are known */
	uint64_t duration_usec;
	uint64_t bytes_in, bytes_out;
};

/* The same with the message's id; about may be NULL. */
void log_event(enum log_level level, enum log_message message, const struct log_about *about,
	       const char *format, ...) __attribute__((format(printf, 4, 5)));

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
