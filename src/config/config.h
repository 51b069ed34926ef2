/* SPDX-License-Identifier: ISC */
/*
 * The configuration: what the files and the command line say, typed and complete. Data only;
 * whoever reads it changes nothing.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/address.h"
#include "base/error.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/rules.h"
#include "config/entries.h"
#include "config/passed.h"
#include "preforkd/handler.h"

struct text_list {
	char **items;
	size_t count;
};

/* A number that may be left as the daemon has it. */
struct optional {
	bool set;
	int64_t value;
};

/* An address of `listen`, and what it resolves to. */
struct listen_on {
	struct address address;
	bool valid; /* the address is right as far as it can be told without a look-up */
	struct endpoint *endpoints;
	size_t endpoint_count;
};

/* Users and groups, looked up. */
struct resolved_user {
	bool change_user, change_group;
	uid_t uid;
	gid_t gid;
	gid_t *groups;
	size_t group_count;
	uid_t socket_uid; /* (uid_t)-1: as the daemon */
	gid_t socket_gid;
	char *login, *home, *shell; /* of the user's entry, or empty */
};

/* What serves a client. */
enum handler_kind { HANDLER_NONE, HANDLER_BUILTIN, HANDLER_MODULE, HANDLER_EXEC, HANDLER_ACCEPTOR };
enum stderr_to { STDERR_LOG, STDERR_CLIENT };
enum pass_as { PASS_AS_SYSTEMD, PASS_AS_STDIN };

struct service_config {
	char *name;
	const struct entries *entries;       /* what it was made from */
	const struct entry_service *section; /* where it was written */

	/* the keys of schema.c */
	struct text_list listen;
	char *builtin;
	char *module;
	struct text_list exec, acceptor; /* the program and its arguments */
	bool enabled;
	uint64_t workers, workers_max, spare, shrink_after;
	uint64_t start_timeout, recycle_after, recycle_memory;
	uint64_t idle_timeout, connection_timeout, stop_timeout;
	uint64_t backlog, defer_accept;
	bool nodelay, keepalive, free_bind, log_connections;
	struct text_list allow, deny;
	uint64_t per_source, queue_timeout;
	struct rate rate, rate_per_source;
	char *busy_message;
	unsigned proxy_protocol; /* enum proxy_mode */
	struct text_list proxy_from;
	char *bind_device, *socket_user, *socket_group;
	unsigned socket_mode;
	char *user, *group, *chroot, *directory;
	struct text_list environment; /* NAME=VALUE */
	unsigned umask, sandbox;
	bool prestart;
	unsigned stderr_to, pass_as; /* enum stderr_to, enum pass_as */
	unsigned stop_signal;
	struct optional nice, limit_nofile, limit_as, limit_cpu, limit_nproc, limit_core;
	struct preforkd_option *options;
	size_t option_count;

	/* made from them */
	enum handler_kind kind;
	struct listen_on *addresses; /* one for each of listen */
	struct resolved_user who;
	struct rules *allow_rules, *deny_rules, *proxy_rules; /* looked up; NULL: none */
};

struct config {
	struct entries *entries;         /* what it was made from; owned */
	unsigned log_level;              /* enum log_level */
	uint64_t exit_idle;              /* microseconds; 0: never */
	uint64_t workers_total;          /* of all pools; 0: as many as the board has slots */
	struct service_config *services; /* the enabled ones */
	size_t service_count;
};

/*
 * Makes a configuration from entries, which it takes over. Adds every mistake in values and sense
 * to errors: with any, the result is only good for finding more, by the look-ups.
 */
struct config *config_build(struct entries *entries, struct error_list *errors);
void config_free(struct config *config);

/* Looks up names, users, groups and the sockets of systemd://NAME, which stay without an endpoint
 * where `passed` is NULL. May block. Adds what fails to errors. */
int config_resolve(struct config *config, const struct passed *passed, struct error_list *errors);

/*
 * The result of a load as bytes (entries and look-ups), for a process that must not block:
 * allocated. And back: NULL when the bytes make no sense.
 */
char *config_pack(const struct config *config, size_t *size);
struct config *config_unpack(const char *bytes, size_t size, struct error_list *errors);

/* `FILE:LINE: service "x": KEY`, to start a message about a key. Static storage: use it at once. */
const char *config_place(const struct service_config *service, const char *key);
/* The same for a key of the daemon's own: `FILE:LINE: KEY`. */
const char *config_place_of_key(const struct config *config, const char *key);

/* The key that says what serves: `builtin`, `module`, `exec`, `acceptor`. */
const char *config_handler_key(enum handler_kind kind);
/* Whether a key is one for the service's kind of handler. */
bool config_key_applies(const struct service_config *service, const char *key);
/* Of exec or acceptor: the program and its arguments. NULL for the other kinds. */
const struct text_list *config_program(const struct service_config *service);
/* The effective configuration, every default filled in, in the syntax of the file. Allocated. */
char *config_dump(const struct config *config);
/* All that workers and their sockets depend on, as text: equal texts, equal services. Allocated. */
char *config_fingerprint(const struct service_config *service);

#endif
