/* SPDX-License-Identifier: ISC */
/* What xinetd.conf and the files it includes say. */
#ifndef CTL_IMPORT_XINETD_H
#define CTL_IMPORT_XINETD_H

#include "ctl/import.h"

struct xattribute {
	const char *name;
	char op; /* '=', or '+' and '-' of += and -= */
	struct texts values;
	int line;
};

/* `service NAME { ... }`, or `defaults { ... }`. */
struct xentry {
	const char *name;
	const char *file;
	int line;
	struct xattribute *attributes;
	size_t count;
};

struct xinetd {
	struct xentry *defaults; /* NULL: none so far */
	struct xentry **entries;
	size_t count;
	unsigned depth; /* of files that include files */
};

/* A service that is translated. */
struct xservice {
	struct import *import;
	const struct xinetd *xinetd;
	const struct xentry *entry;
	struct draft *draft;
};

/* The attribute of the service or else of the defaults; NULL when neither has it. The first one
 * counts. */
const struct xattribute *xservice_find(const struct xservice *service, const char *name);
/* Its first value, or NULL. */
const char *xservice_value(const struct xservice *service, const char *name);
/* Whether it is there and has this value among its own. */
bool xservice_has(const struct xservice *service, const char *name, const char *value);
/* The values of an attribute that can be added to, from the defaults on. */
struct texts xservice_set(const struct xservice *service, const char *name);

/* Reads a file's entries into import->xinetd; with `alone` what it includes is passed over. */
void xinetd_read(struct import *import, const char *file, char *text, bool alone);

/* Makes a draft of the service. */
void xservice_translate(struct xservice *service);
/* The attributes that say neither where the service listens nor what serves. */
void xservice_take_rest(struct xservice *service);
/* Two of these, whose addresses are put into allow and deny as xinetd understands them. */
void xservice_take_only_from(struct xservice *service, const struct xattribute *attribute);
void xservice_take_no_access(struct xservice *service, const struct xattribute *attribute);

#endif
