/* SPDX-License-Identifier: ISC */
/* systemd's .socket units and the .service units that they start. */
#ifndef CTL_IMPORT_UNIT_H
#define CTL_IMPORT_UNIT_H

#include <stdint.h>

#include "ctl/import.h"

struct setting {
	const char *section;
	const char *key;
	const char *value;
	const char *file;
	int line;
};

/* A unit with its drop-ins, one after another. */
struct unit {
	const char *name;     /* ssh.socket, web@front.service */
	const char *prefix;   /* ssh, web */
	const char *instance; /* of web@front; NULL: none, or a template */
	const char *file;
	bool template;
	bool of_user; /* of a user's manager */
	struct setting *settings;
	size_t count;
};

struct units {
	struct texts files; /* what was given */
	struct texts used;  /* the services among them that a socket has */
	struct unit_pair *pairs;
	size_t count;
};

/* A service and its socket; with Accept=no there may be several sockets, which share the draft. */
struct unit_pair {
	struct import *import;
	struct draft *draft;
	const struct unit *socket, *service;
	bool accept;
	bool first;          /* of those that share the draft */
	size_t socket_notes; /* how many of the draft's are of the socket */
	struct texts environment;
};

/* ---- reading ---- */

/* The unit of that name in a folder, or in the others of systemd's path when it is one of these.
 * The template stands in for an instance. NULL when there is none; errors may have why. */
const struct unit *unit_find(struct import *import, const char *folder, const char *name);
/* The last value of a key, or NULL. */
const char *unit_value(const struct unit *unit, const char *section, const char *key);
/* yes, true, on, 1, ... */
bool unit_truth(const char *value);

/* ---- values ---- */

/* Words as systemd.syntax(7) quotes them. Returns false for a quote that is never closed. */
bool unit_words(struct arena *arena, const char *value, struct texts *words);
/* With the specifiers of systemd.unit(5) replaced. Those that this program does not know, or that
 * are of a connection, turn the draft off. */
char *unit_expand(struct unit_pair *pair, const struct unit *unit, const char *value);
/* A time in systemd's ways; UINT64_MAX for infinity. */
bool unit_span(struct arena *arena, const char *value, uint64_t *usec);

/* ---- the environment ---- */

void unit_environment_add(struct unit_pair *pair, const char *assignment);
/* NULL when it is not set. */
const char *unit_environment_get(const struct unit_pair *pair, const char *name);
/* Environment= and EnvironmentFile=, and what a user brings with it. */
void unit_environment_read(struct unit_pair *pair);
/* $NAME and ${NAME} of a command line. */
struct texts unit_environment_expand(struct unit_pair *pair, const struct texts *words);

/* ---- settings ---- */

struct unit_rule {
	const char *key; /* may have a `*` at its end */
	void (*take)(struct unit_pair *pair, const struct setting *setting);
	const char *why; /* why it has no equivalent; with neither it is looked at elsewhere */
};

/* Every setting of the section by its rule, and those that have none as unknown. The rules end with
 * a row without a key. */
void unit_take(struct unit_pair *pair, const struct unit *unit, const char *section,
	       const struct unit_rule *rules);
/* Notes a setting with the reason why it has no equivalent. */
void unit_note(struct unit_pair *pair, const struct setting *setting, const char *why);
/* Sets a key from another socket of the same service: what differs is noted. */
void unit_set(struct unit_pair *pair, const struct setting *setting, const char *key,
	      const char *value);
/* Truth, number, time; what is none is noted. */
void unit_set_truth(struct unit_pair *pair, const struct setting *setting, const char *key);
void unit_set_number(struct unit_pair *pair, const struct setting *setting, const char *key,
		     uint64_t max);
void unit_set_time(struct unit_pair *pair, const struct setting *setting, const char *key,
		   uint64_t max);

void unit_take_socket(struct unit_pair *pair);
void unit_take_service(struct unit_pair *pair);
/* ExecStart, the standard streams, and what is said there of descriptors. */
void unit_take_program(struct unit_pair *pair);

/* IPAddressAllow= and IPAddressDeny=, of the socket and of the service. */
void unit_take_address(struct unit_pair *pair, const struct setting *setting);
/* What kept clients out and has no equivalent: noted, and the draft is off. */
void unit_take_barrier(struct unit_pair *pair, const struct setting *setting);

/* Reasons that several sections share. */
#define WHY_UNIT      "no equivalent: order and conditions are those of preforkd's own unit"
#define WHY_HARDENING "no equivalent: the limits of preforkd's own unit hold for its programs"
#define WHY_RESOURCES "no equivalent: preforkd's own unit has the resources; see limit_*"
#define WHY_OPTION    "no equivalent: an option of sockets that preforkd does not set"
#define WHY_COMMAND   "no equivalent: no other programs are run"

#endif
