/* SPDX-License-Identifier: ISC */
/*
 * The verb import: what other programs' files say is collected as drafts of services, each with
 * keys of preforkd.conf(5) and notes on what has no equivalent; then the drafts are compared with
 * this machine, named and printed.
 */
#ifndef CTL_IMPORT_H
#define CTL_IMPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "ctl/import_arena.h"

struct import_key;

struct draft_value {
	const struct import_key *key;
	struct texts values;
	const char *remark; /* behind it, as a comment; NULL: none */
};

/* What has no equivalent, under the reason why. */
struct draft_note {
	const char *why;
	struct texts what;
};

struct draft {
	struct import *import;
	const char *name;  /* as wished; import_name() makes it valid and unique */
	const char *other; /* what tells it from a service of the same name, as "udp" */
	struct texts from; /* FILE:LINE, and what is said above the service */
	struct draft_value *values;
	size_t value_count;
	struct draft_note *notes;
	size_t note_count;
	struct texts off;    /* why it is not enabled; empty: it is */
	const char *program; /* what a shell in front of it starts; NULL: there is none */
	bool none;           /* it has no equivalent: its notes are all there is */
};

struct import {
	struct arena arena;
	struct draft **drafts;
	size_t draft_count;
	struct texts files;       /* what was read */
	struct texts remarks;     /* what is to be known about all services */
	struct error_list errors; /* to stderr */
	struct xinetd *xinetd;    /* import_xinetd.h; NULL: no such file so far */
	struct units *units;      /* import_unit.h; NULL: no such file so far */
};

/* ---- what is wrong, and what is to be known ---- */

/* Adds `FILE:LINE: text` (line 0: `FILE: text`) to the errors. */
void import_error(struct import *import, int code, const char *file, int line, const char *format,
		  ...) __attribute__((format(printf, 5, 6)));
/* Adds a comment for the top of the output, once. */
void import_remark(struct import *import, const char *text);

/* ---- reading ---- */

enum import_kind { IMPORT_UNKNOWN, IMPORT_EMPTY, IMPORT_INETD, IMPORT_XINETD, IMPORT_UNIT };

/* The whole file, without NUL bytes; NULL when errors has why. */
char *import_read(struct import *import, const char *file);
/* By its name, or else by its lines; IMPORT_EMPTY: nothing but comments. */
enum import_kind import_kind_of(struct import *import, const char *file, const char *text);
/* Cuts the next line off *rest; NULL at the end. */
char *import_line(char **rest);
/* The folder that a path is in. */
char *import_folder(struct import *import, const char *path);

/* The files of a folder that xinetd's includedir reads, sorted. */
struct texts import_included(struct import *import, const char *folder);

void import_inetd(struct import *import, const char *file, char *text);
/* These collect; what was collected becomes drafts in the end. */
void import_xinetd(struct import *import, const char *file, char *text);
void import_xinetd_finish(struct import *import);
void import_unit(struct import *import, const char *file);
void import_unit_finish(struct import *import);

/* ---- drafts ---- */

struct draft *draft_new(struct import *import, const char *name, const char *file, int line);
/* Sets a key to one value; a second time replaces it. */
void draft_set(struct draft *draft, const char *key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void draft_unset(struct draft *draft, const char *key);
/* Adds to a list. */
void draft_add(struct draft *draft, const char *key, const char *value);
/* Sets a list. */
void draft_list(struct draft *draft, const char *key, const struct texts *values);
void draft_remark(struct draft *draft, const char *key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The values of a key, or NULL; the first one, or "". */
const struct texts *draft_values(const struct draft *draft, const char *key);
const char *draft_value(const struct draft *draft, const char *key);
/* That `what` has no equivalent, and why. */
void draft_note(struct draft *draft, const char *why, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* A comment of its own. */
void draft_say(struct draft *draft, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Not enabled, and why. */
void draft_off(struct draft *draft, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* No service can be made of it, and why. */
void draft_none(struct draft *draft, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- the keys ---- */

enum import_form {
	FORM_BARE,   /* number, time, truth */
	FORM_TEXT,   /* in quotes */
	FORM_LIST,   /* of texts in quotes */
	FORM_OPTION, /* options { KEY = "TEXT" } */
};

struct import_key {
	const char *name;
	enum import_form form;
};

/* In the order of the output; ends with a row without a name. */
extern const struct import_key import_keys[];

/* ---- what the drafts have in common ---- */

/* A program and how it is started. */
struct invocation {
	const char *file;    /* where it is written */
	const char *program; /* its path */
	struct texts argv;   /* from argv[0] on; empty: the program's name alone */
	bool wait;           /* it gets the listening socket */
	bool datagrams;
	const char *wrapped; /* the name that libwrap knows it by; NULL: it is not asked */
};

/* exec or acceptor, with tcpd unwrapped, as inetd and xinetd start it. */
void draft_program(struct draft *draft, const struct invocation *invocation);
/* A built-in for an internal service, by any of its names in services(5). Returns false when there
 * is none. */
bool draft_builtin(struct draft *draft, const char *service, const char *protocol);
/* The user, and group when it is not NULL. */
void draft_user(struct draft *draft, const char *user, const char *group);

/* ---- limits and access; `written` is how the file says it, for comments ---- */

/* How many clients at once; 0: no limit. */
void draft_most(struct draft *draft, const char *written, uint64_t most);
/* The same of one source. */
void draft_per_source(struct draft *draft, const char *written, uint64_t most);
/* So many in a second, a minute or an hour, for rate or rate_per_source. Returns whether there is
 * such a limit. */
bool draft_rate(struct draft *draft, const char *key, const char *written, uint64_t count,
		uint64_t per_usec);
/* To allow or deny, with zeros behind the bits, once. */
void draft_add_network(struct draft *draft, const char *key, int family, const void *address,
		       unsigned bits);
/* The same of ADDRESS or ADDRESS/BITS; returns false when it is neither. */
bool draft_add_prefix(struct draft *draft, const char *key, const char *text);
/* Turns one off that has allow or deny where preforkd cannot have them. */
void draft_settle_access(struct draft *draft);

/* `SCHEME://HOST:PORT` with brackets where they belong, the port by its name in services(5) when it
 * has one. */
char *import_address(struct import *import, const char *scheme, const char *host, const char *port);

/* The rules of hosts.allow and hosts.deny, beside the file, that are for a program: `FILE:LINE:
 * RULE` each. */
struct texts import_hosts(struct import *import, const char *file, const char *program);

/* ---- the end ---- */

/* Turns drafts off that could not start on this machine, or would listen where another one does.
 */
void import_look_here(struct import *import);
/* Gives every service a valid name that no other has. */
void import_name(struct import *import);
void import_print(struct import *import);

#endif
