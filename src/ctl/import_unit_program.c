/* SPDX-License-Identifier: ISC */
/* ExecStart= and the standard streams of a unit. */
#include <config.h>

#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "ctl/import_unit.h"

/* ---- the command line ---- */

struct command {
	struct texts words; /* quotes and specifiers done, variables not */
	bool named;         /* @: the second word is argv[0] */
	bool literal;       /* ':': no variables */
	bool privileged;    /* +: root, and no sandbox */
};

/* The only one that is left of ExecStart=, or NULL. */
static const struct setting *find_start(struct unit_pair *pair)
{
	const struct setting *start = NULL;

	for (size_t i = 0; i < pair->service->count; i++) {
		const struct setting *setting = &pair->service->settings[i];

		if (strcmp(setting->section, "Service") != 0 ||
		    strcmp(setting->key, "ExecStart") != 0)
			continue;
		if (start) {
			unit_note(pair, setting, "no equivalent: a second command");
			draft_off(pair->draft, "it is several commands, see below");
		} else {
			start = setting;
		}
	}
	return start;
}

/* -: a failure is none, which preforkd counts and no more. !, !!: for users without privileges. */
static const char *take_prefixes(struct unit_pair *pair, struct command *command, const char *value)
{
	for (;; value++) {
		switch (*value) {
		case '@':
			command->named = true;
			break;
		case ':':
			command->literal = true;
			break;
		case '+':
			command->privileged = true;
			break;
		case '!':
			draft_note(pair->draft, "no equivalent: the user is changed before",
				   "ExecStart=!");
			break;
		case '-':
			draft_note(pair->draft, "a program that fails is counted, and no more",
				   "ExecStart=-");
			break;
		case '|':
			draft_off(pair->draft, "ExecStart=| is a command for a shell");
			break;
		default:
			return value;
		}
	}
}

static bool read_command(struct unit_pair *pair, const struct setting *start,
			 struct command *command)
{
	struct arena *arena = &pair->import->arena;
	const char *value = take_prefixes(pair, command, start->value);
	struct texts words = {0};

	if (!unit_words(arena, value, &words) || words.count == 0 ||
	    (command->named && words.count < 2)) {
		import_error(pair->import, EX_DATAERR, start->file, start->line,
			     "ExecStart: not a command line");
		return false;
	}
	for (size_t i = 0; i < words.count; i++) {
		if (strcmp(words.items[i], ";") == 0 && strstr(value, "\\;") == NULL) {
			unit_note(pair, start, "no equivalent: more than one command");
			draft_off(pair->draft, "it is several commands, see below");
			break;
		}
		texts_add(arena, &command->words, unit_expand(pair, pair->service, words.items[i]));
	}
	return true;
}

/* A name without a path is looked for where systemd does. */
static const char *find_program(struct unit_pair *pair, const char *name)
{
	static const char *const folders[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
					      "/usr/bin",        "/sbin",          "/bin"};

	if (*name == '/')
		return name;
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		const char *path = arena_format(&pair->import->arena, "%s/%s", folders[i], name);

		if (access(path, X_OK) == 0)
			return path;
	}
	return name;
}

static struct texts arguments_of(struct unit_pair *pair, const struct command *command)
{
	struct texts rest = texts_from(&command->words, command->named ? 2 : 1);

	if (command->named)
		draft_say(pair->draft, "it was started under the name \"%s\"; here it is its path",
			  command->words.items[1]);
	return command->literal ? rest : unit_environment_expand(pair, &rest);
}

static void take_privileges(struct unit_pair *pair, const struct command *command)
{
	if (!command->privileged)
		return;
	draft_set(pair->draft, "user", "root");
	draft_set(pair->draft, "sandbox", "off");
	draft_remark(pair->draft, "user", "ExecStart=+");
}

/* ---- standard streams ---- */

enum target { TARGET_CLIENT, TARGET_LOG, TARGET_NULL, TARGET_OTHER };

struct streams {
	const char *in;
	enum target out, err;
};

static enum target target_of(const char *value, enum target inherited)
{
	static const char *const logs[] = {"journal",         "kmsg",         "syslog",
					   "journal+console", "kmsg+console", "syslog+console"};

	if (strcmp(value, "inherit") == 0)
		return inherited;
	if (strcmp(value, "socket") == 0)
		return TARGET_CLIENT;
	if (strcmp(value, "null") == 0)
		return TARGET_NULL;
	for (size_t i = 0; i < sizeof(logs) / sizeof(logs[0]); i++)
		if (strcmp(value, logs[i]) == 0)
			return TARGET_LOG;
	return TARGET_OTHER;
}

static const char *stream(const struct unit_pair *pair, const char *key, const char *otherwise)
{
	const char *value = unit_value(pair->service, "Service", key);

	return value ? value : otherwise;
}

static struct streams read_streams(const struct unit_pair *pair)
{
	struct streams s = {.in = stream(pair, "StandardInput", "null")};
	bool socket = strcmp(s.in, "socket") == 0;
	const char *out = stream(pair, "StandardOutput", socket ? "inherit" : "journal");

	s.out = target_of(out, socket ? TARGET_CLIENT : TARGET_NULL);
	s.err = target_of(stream(pair, "StandardError", "inherit"), s.out);
	return s;
}

/* To the log goes what went to a file, or nowhere. */
static void note_streams(struct unit_pair *pair)
{
	static const char *const keys[] = {"StandardOutput", "StandardError"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *value = stream(pair, keys[i], "inherit");
		enum target target = target_of(value, TARGET_LOG);

		/* What exec does itself, or by a shell. */
		bool done = pair->accept && (target == TARGET_CLIENT || i == 0);

		if (target == TARGET_OTHER || (target != TARGET_LOG && !done))
			draft_note(pair->draft, "no equivalent: it goes to the log", "%s=%s",
				   keys[i], value);
	}
	if (unit_value(pair->service, "Service", "StandardInputText") ||
	    unit_value(pair->service, "Service", "StandardInputData"))
		draft_off(pair->draft, "its standard input is a text in the unit");
}

/* What a shell does in front of the program, which it then becomes; NULL where none is needed. Who
 * has not asked for the client as its standard input has it as descriptor 3. */
static const char *script_for(struct unit_pair *pair, const struct streams *s)
{
	const char *out = s->out == TARGET_CLIENT ? ""
			  : s->out == TARGET_NULL ? " >/dev/null"
						  : " >&2";

	if (strcmp(s->in, "socket") == 0)
		return *out ? arena_format(&pair->import->arena, "exec \"$0\" \"$@\"%s", out)
			    : NULL;
	if (s->out == TARGET_CLIENT)
		return "exec \"$0\" \"$@\" </dev/null";
	return arena_format(&pair->import->arena,
			    "export LISTEN_FDS=1 LISTEN_FDNAMES=connection LISTEN_PID=$$; "
			    "exec \"$0\" \"$@\" 3<&0 </dev/null%s",
			    out);
}

/* ---- both ---- */

static void run_for_each_client(struct unit_pair *pair, const char *program)
{
	struct streams s = read_streams(pair);
	const char *script = script_for(pair, &s);

	if (strcmp(s.in, "null") != 0 && strcmp(s.in, "socket") != 0)
		draft_off(pair->draft, "StandardInput=%s has no equivalent", s.in);
	if (script) {
		draft_add(pair->draft, "exec", "/bin/sh");
		draft_add(pair->draft, "exec", "-c");
		draft_add(pair->draft, "exec", script);
		draft_say(pair->draft,
			  "a shell gives the program its descriptors as the unit does, and becomes "
			  "it");
		pair->draft->program = program;
	}
	if (strncmp(stream(pair, "Type", "simple"), "notify", 6) == 0)
		draft_note(pair->draft, "no equivalent: a program serves as soon as it runs",
			   "Type=%s", stream(pair, "Type", ""));
	draft_add(pair->draft, "exec", program);
	draft_set(pair->draft, "stderr", s.err == TARGET_CLIENT ? "client" : "log");
}

static void set_ready(struct unit_pair *pair)
{
	const char *type = stream(pair, "Type", "simple");

	if (strncmp(type, "notify", 6) == 0)
		draft_set(pair->draft, "ready", "notify");
	else if (strcmp(type, "dbus") == 0 || strcmp(type, "oneshot") == 0)
		draft_note(pair->draft, "no equivalent: it is ready when it has lived for 1 s",
			   "Type=%s", type);
}

static void run_as_acceptor(struct unit_pair *pair, const char *program)
{
	const char *in = stream(pair, "StandardInput", "null");

	draft_add(pair->draft, "acceptor", program);
	draft_set(pair->draft, "pass_as", strcmp(in, "socket") == 0 ? "stdin" : "systemd");
	draft_set(pair->draft, "workers", "1");
	draft_remark(pair->draft, "workers",
		     "always there, where the first client had it started before");
	set_ready(pair);
	if (strcmp(in, "socket") != 0 && strcmp(in, "null") != 0)
		draft_off(pair->draft, "StandardInput=%s has no equivalent", in);
}

void unit_take_program(struct unit_pair *pair)
{
	const char *key = pair->accept ? "exec" : "acceptor", *program;
	const struct setting *start = find_start(pair);
	struct command command = {0};
	struct texts arguments;

	if (!start) {
		draft_none(pair->draft, "left out: %s has no ExecStart", pair->service->file);
		return;
	}
	if (!read_command(pair, start, &command) || command.words.count == 0) {
		draft_none(pair->draft, "left out, for a mistake in %s", pair->service->file);
		return;
	}
	if (strcmp(stream(pair, "Type", "simple"), "forking") == 0)
		draft_off(pair->draft, "Type=forking: have the program stay in the foreground");
	program = find_program(pair, command.words.items[0]);
	arguments = arguments_of(pair, &command);
	if (pair->accept)
		run_for_each_client(pair, program);
	else
		run_as_acceptor(pair, program);
	for (size_t i = 0; i < arguments.count; i++)
		draft_add(pair->draft, key, arguments.items[i]);
	take_privileges(pair, &command);
	note_streams(pair);
}
