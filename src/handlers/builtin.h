/* SPDX-License-Identifier: ISC */
/* What the built-in handlers share. Each builtin_NAME.c defines one handler. */
#ifndef HANDLERS_BUILTIN_H
#define HANDLERS_BUILTIN_H

#include <preforkd/handler.h>

/* The most a datagram is answered with: RFC 864 and 865, and no help to whoever forges a source. */
#define BUILTIN_REPLY_MAX 512

extern const struct preforkd_handler builtin_agent;
extern const struct preforkd_handler builtin_chargen;
extern const struct preforkd_handler builtin_daytime;
extern const struct preforkd_handler builtin_discard;
extern const struct preforkd_handler builtin_echo;
extern const struct preforkd_handler builtin_message;
extern const struct preforkd_handler builtin_qotd;
extern const struct preforkd_handler builtin_time;

/* Returns 0 when every option of the setup is one of the known, or -1 with a text that names the
 * one that is not, and the known ones. */
int builtin_options_check(const struct preforkd_setup *setup, const char *const *known,
			  size_t count, char *error, size_t error_size);
/* The open of a handler that has neither options nor a state. */
int builtin_open_plain(const struct preforkd_setup *setup, void **state, char *error,
		       size_t error_size);

/* Copies data to the reply of a datagram, as much of it as may be sent. Returns how much. */
ssize_t builtin_reply(void *reply, size_t room, const void *data, size_t size);

/* Numbers without a system call each: good enough to choose with, no secrets. Any seed will do. */
uint64_t builtin_random_seed(void);
uint64_t builtin_random(uint64_t *state);

#endif
