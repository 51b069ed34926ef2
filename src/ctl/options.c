/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "ctl/ctl.h"

enum option_type { OPTION_FLAG, OPTION_TEXT, OPTION_DURATION };

struct option_row {
	unsigned group;
	char letter; /* 0: none */
	const char *name;
	enum option_type type;
	size_t field; /* in struct ctl: bool, const char *, uint64_t */
	const char *argument;
	const char *help;
};

#define FIELD(name) offsetof(struct ctl, name)

static const struct option_row rows[] = {
	{OPTIONS_CALL, 'n', "no-newline", OPTION_FLAG, FIELD(no_newline), "",
	 "no newline after a message from the arguments"},
	{OPTIONS_CALL, 0, "no-reply", OPTION_FLAG, FIELD(no_reply), "",
	 "do not wait for a reply to a datagram"},
	{OPTIONS_BENCH, 'c', "connections", OPTION_TEXT, FIELD(bench.connections), "NUMBER",
	 "clients at once (8)"},
	{OPTIONS_BENCH, 'd', "duration", OPTION_TEXT, FIELD(bench.duration), "DURATION",
	 "how long (10s)"},
	{OPTIONS_BENCH, 'n', "count", OPTION_TEXT, FIELD(bench.count), "NUMBER",
	 "or how many requests"},
	{OPTIONS_BENCH, 'r', "rate", OPTION_TEXT, FIELD(bench.rate), "RATE",
	 "how many a second; as fast as it goes"},
	{OPTIONS_BENCH, 's', "size", OPTION_TEXT, FIELD(bench.size), "SIZE",
	 "bytes to send in each (64)"},
	{OPTIONS_BENCH, 'm', "mode", OPTION_TEXT, FIELD(bench.mode), "MODE",
	 "echo, discard, read, line, request, http"},
	{OPTIONS_BENCH, 0, "request", OPTION_TEXT, FIELD(bench.request), "TEXT",
	 "what to send, with \\r \\n \\xHH; http: or a path"},
	{OPTIONS_BENCH, 0, "request-file", OPTION_TEXT, FIELD(bench.request_file), "FILE",
	 "the same from a file, as it is"},
	{OPTIONS_BENCH, 'k', "keep", OPTION_FLAG, FIELD(bench.keep), "",
	 "many requests on a connection"},
	{OPTIONS_BENCH, 0, "processes", OPTION_TEXT, FIELD(bench.processes), "NUMBER",
	 "that make the load (by clients and CPUs)"},
	{OPTIONS_BENCH, 0, "progress", OPTION_FLAG, FIELD(bench.progress), "",
	 "show it where stderr is no terminal too"},
	{OPTIONS_BENCH, 0, "remote", OPTION_FLAG, FIELD(bench.remote), "",
	 "the server may be another machine"},
	{OPTIONS_STATUS, 0, "workers", OPTION_FLAG, FIELD(workers), "",
	 "each worker: what it does, its client, since when"},
	{OPTIONS_STATUS, 0, "color", OPTION_TEXT, FIELD(color), "WHEN",
	 "auto, always or never (auto)"},
	{OPTIONS_TOP, 'd', "interval", OPTION_TEXT, FIELD(interval), "SECONDS",
	 "between two looks (1)"},
	{OPTIONS_TOP, 'n', "count", OPTION_TEXT, FIELD(count), "NUMBER",
	 "of looks, and then the end"},
	{OPTIONS_TOP, 'b', "batch", OPTION_FLAG, FIELD(batch), "",
	 "print plain text, look after look"},
	{OPTIONS_ADVISE, 0, "wait", OPTION_TEXT, FIELD(advise.wait), "SHARE",
	 "of clients that may have to wait (1%)"},
	{OPTIONS_ADVISE, 0, "interval", OPTION_TEXT, FIELD(advise.interval), "DURATION",
	 "to measure for (10s); 0: since the start"},
	{OPTIONS_ADVISE, 0, "rate", OPTION_TEXT, FIELD(advise.rate), "RATE",
	 "instead: so many clients, as 200/s"},
	{OPTIONS_ADVISE, 0, "time", OPTION_TEXT, FIELD(advise.time), "DURATION",
	 "that take so long each, as 50ms"},
	{OPTIONS_METRICS, 0, "format", OPTION_TEXT, FIELD(format), "NAME",
	 "openmetrics, or prometheus: its older text"},
	{OPTIONS_ORDER, 0, "no-wait", OPTION_FLAG, FIELD(no_wait), "",
	 "do not wait for the result"},
	{OPTIONS_TIMEOUT, 0, "timeout", OPTION_DURATION, FIELD(timeout_usec), "DURATION",
	 "give up after so long; 0: never"},
	{OPTIONS_JSON, 0, "json", OPTION_FLAG, FIELD(json), "", "JSON for programs"},
	{OPTIONS_GLOBAL, 'i', "instance", OPTION_TEXT, FIELD(instance), "NAME",
	 "the instance (main)"},
	{OPTIONS_GLOBAL, 0, "runtime-directory", OPTION_TEXT, FIELD(directory), "DIR",
	 "the instance's runtime directory"},
	{OPTIONS_GLOBAL, 'h', "help", OPTION_FLAG, FIELD(help), "", "print this"},
	{OPTIONS_GLOBAL, 'V', "version", OPTION_FLAG, FIELD(version), "", "print the version"},
};
#define ROWS ((int)(sizeof(rows) / sizeof(rows[0])))

/* A long option's value: more than any letter, so that an error can tell which form was used. */
#define LONG_VALUE 256

/* What getopt_long(3) wants, made from the rows. */
struct getopt_tables {
	char letters[2 * ROWS + 3];
	struct option names[ROWS + 1];
};

static void make_tables(struct getopt_tables *tables, unsigned groups, bool stop_at_verb)
{
	char *letter = tables->letters;
	struct option *name = tables->names;

	memset(tables, 0, sizeof(*tables));
	if (stop_at_verb)
		*letter++ = '+';
	*letter++ = ':';
	for (int i = 0; i < ROWS; i++) {
		if (!(rows[i].group & groups))
			continue;
		bool argument = rows[i].type != OPTION_FLAG;
		*name++ = (struct option){rows[i].name, argument ? required_argument : no_argument,
					  NULL, LONG_VALUE + i};
		if (!rows[i].letter)
			continue;
		*letter++ = rows[i].letter;
		if (argument)
			*letter++ = ':';
	}
}

static const struct option_row *row_of(int value, unsigned groups)
{
	if (value >= LONG_VALUE)
		return &rows[value - LONG_VALUE];
	for (int i = 0; i < ROWS; i++)
		if (rows[i].letter == value && (rows[i].group & groups))
			return &rows[i];
	return NULL;
}

static int set(struct ctl *ctl, const struct option_row *row, const char *value, struct error *err)
{
	char *field = (char *)ctl + row->field;

	switch (row->type) {
	case OPTION_FLAG:
		*(bool *)field = true;
		return 0;
	case OPTION_TEXT:
		if (!*value)
			return error_set(err, EX_USAGE, "--%s: empty", row->name);
		*(const char **)field = value;
		return 0;
	case OPTION_DURATION:
		if (parse_duration(value, (uint64_t *)field) == 0)
			return 0;
		return error_set(err, EX_USAGE,
				 "--%s: \"%s\" is no duration; write 500ms, 30s, 5m, 1h, or 0",
				 row->name, value);
	}
	return -1;
}

/* `written`: the argument that getopt stopped at, for a long option it does not know. */
static int complain(int result, const char *written, struct error *err)
{
	if (optopt == 0)
		return error_set(err, EX_USAGE, "unknown or ambiguous option \"%s\"", written);
	if (optopt < LONG_VALUE)
		return error_set(err, EX_USAGE,
				 result == ':' ? "-%c needs a value" : "unknown option -%c",
				 optopt);
	return error_set(err, EX_USAGE,
			 result == ':' ? "--%s needs a value" : "--%s takes no value",
			 rows[optopt - LONG_VALUE].name);
}

int options_parse(struct ctl *ctl, unsigned groups, bool stop_at_verb, int argc, char **argv,
		  struct error *err)
{
	struct getopt_tables tables;
	int value;

	make_tables(&tables, groups, stop_at_verb);
	opterr = 0;
	optind = 0; /* start anew: the verb's options are a second round */
	while ((value = getopt_long(argc, argv, tables.letters, tables.names, NULL)) != -1) {
		const struct option_row *row = NULL;
		if (value != '?' && value != ':')
			row = row_of(value, groups);
		if (!row)
			return complain(value, argv[optind - 1], err);
		if (set(ctl, row, optarg, err) < 0)
			return -1;
	}
	return optind;
}

void options_help(unsigned groups)
{
	for (int i = 0; i < ROWS; i++) {
		if (!(rows[i].group & groups))
			continue;
		char left[48];
		snprintf(left, sizeof(left), "--%s %s", rows[i].name, rows[i].argument);
		if (rows[i].letter)
			printf("  -%c, %-28s %s\n", rows[i].letter, left, rows[i].help);
		else
			printf("      %-28s %s\n", left, rows[i].help);
	}
}
