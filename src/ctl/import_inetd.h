/* SPDX-License-Identifier: ISC */
#ifndef CTL_IMPORT_INETD_H
#define CTL_IMPORT_INETD_H

#include "ctl/import.h"

enum inetd_field {
	INETD_SERVICE,
	INETD_TYPE,
	INETD_PROTOCOL,
	INETD_WAIT,
	INETD_USER,
	INETD_PROGRAM,
	INETD_ARGV,
	INETD_FIELDS_MIN = INETD_ARGV
};

/* An inetd.conf that is read, and the line that it is at. */
struct inetd {
	struct import *import;
	const char *file;
	struct texts hosts; /* where lines listen that do not say */
	const char *ipsec;  /* the policy of `#@` lines; empty: none */
	struct texts fields;
	int line;
	bool off; /* the line is commented out in the way of Debian's tools */
};

/* Makes drafts of the line. Returns 0, or -1 with an error added. */
int inetd_translate(struct inetd *in);

#endif
