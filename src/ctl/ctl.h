/* SPDX-License-Identifier: ISC */
/* What the verbs of preforkctl share: the command line, the verbs, the way to the board. */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/parse.h"
#include "board/read.h"
#include "ctl/bench_options.h"

/* Exit codes beside those of sysexits(3). */
#define CTL_EXIT_FAILED      1 /* refused by the master; running, but degraded */
#define CTL_EXIT_NOT_RUNNING 3

/* The command line. Options of every verb: those that a verb does not take stay zero. */
struct ctl {
	const char *instance;
	const char *directory; /* NULL: the instance's default */
	bool json;
	bool help;
	bool version;
	bool no_newline;
	bool no_reply;
	bool no_wait;
	bool workers;
	const char *color;
	uint64_t timeout_usec; /* 0: none */
	struct bench_options bench;
	const char *interval, *count; /* of top */
	const char *format;           /* of metrics */
	bool batch;
	struct advise_options {
		const char *rate, *time, *wait, *interval; /* NULL: not given */
	} advise;
};

/* Groups of options, for a verb to say which it takes. */
enum option_group {
	OPTIONS_GLOBAL = 1 << 0,
	OPTIONS_JSON = 1 << 1,
	OPTIONS_TIMEOUT = 1 << 2,
	OPTIONS_CALL = 1 << 3,
	OPTIONS_STATUS = 1 << 4,
	OPTIONS_ORDER = 1 << 5,
	OPTIONS_BENCH = 1 << 6,
	OPTIONS_TOP = 1 << 7,
	OPTIONS_ADVISE = 1 << 8,
	OPTIONS_METRICS = 1 << 9
};

/* Returns an exit code, or -1 with err. argv holds the arguments after the verb and its options. */
typedef int ctl_verb_run(const struct ctl *ctl, int argc, char **argv, struct error *err);

struct ctl_verb {
	const char *name;
	ctl_verb_run *run;
	const char *usage;
	const char *help;
	unsigned options;      /* of enum option_group */
	uint64_t timeout_usec; /* without --timeout */
};

ctl_verb_run call_run;
ctl_verb_run bench_run;
ctl_verb_run top_run;
ctl_verb_run advise_run;
ctl_verb_run status_run;
ctl_verb_run metrics_run;
ctl_verb_run reload_run;
ctl_verb_run upgrade_run;
ctl_verb_run recycle_run;
ctl_verb_run stop_run;
ctl_verb_run import_run;

/* The table of verbs ends with a row without a name. err of verbs_find: EX_USAGE. */
const struct ctl_verb *verbs_find(const struct ctl_verb *verbs, const char *name,
				  struct error *err);
/* What --help prints; verb NULL: for the whole program. Return 0. */
int verbs_help(const struct ctl_verb *verbs);
int verb_help(const struct ctl_verb *verb);

/*
 * Reads options of the groups into ctl. With stop_at_verb the first argument that is no option ends
 * them; else options and arguments may be mixed. Returns the index of the first argument (getopt
 * has moved them to the end), or -1 with err.
 */
int options_parse(struct ctl *ctl, unsigned groups, bool stop_at_verb, int argc, char **argv,
		  struct error *err);
void options_help(unsigned groups);

/* The instance's runtime directory. Returns 0, or -1 with err. */
int ctl_directory(const struct ctl *ctl, char *path, size_t room, struct error *err);
/* The board once, again when an upgrade puts a new one there meanwhile; services as for
 * snapshot_take(). Returns 0; or -1 with err, or CTL_EXIT_NOT_RUNNING as ctl_not_running(). To be
 * freed. */
struct snapshot;
int ctl_snapshot(struct snapshot *snapshot, const struct ctl *ctl, int argc, char **argv,
		 struct error *err);
/* Turns err of a board that is not there, or whose master is gone, into CTL_EXIT_NOT_RUNNING.
 * Returns -1. */
int ctl_not_running(struct error *err);
/* Microseconds of CLOCK_MONOTONIC or CLOCK_REALTIME. */
uint64_t ctl_now(int clock);
struct snapshot;
/* A line for each pool that is or was full. */
void advise_saturated(const struct snapshot *snapshot);
/* Text that others wrote, made safe to show. */
const char *ctl_escape(char *text, size_t room, const char *from);
/* `5s` `3m 20s` `2h 5m` `4d 3h`, for people. CTL_AGE_MAX bytes. Returns text. */
#define CTL_AGE_MAX 48
const char *ctl_age(char *text, uint64_t usec);

/* Room for `1200 accepted, 1190 finished, 7 refused, 0 timed out, 0 aborted, 3 open`. */
#define CTL_LEDGER_MAX 200
const char *ctl_ledger(char *text, const uint64_t connections[CONNECTION_FIELDS]);
/* What is not 0 of it, by reasons: `3 clients: 1 finished, 1 timed out, 1 open`. Room for all. */
#define CTL_BRIEF_MAX 1024
const char *ctl_brief(char *text, const struct ledger_view *ledger);

#endif
