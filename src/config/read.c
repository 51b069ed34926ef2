/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "config/entries.h"
#include "config/scan.h"
#include "config/schema.h"

#define FILE_MAX (1024 * 1024)
/* A name no file can hold: its default value tells where a section begins. */
#define SECTION_MARK "#section"

/* Words that the schema does not know, found while parsing; they are read like lists, and refused
 * later with every other mistake, instead of ending the parse at the first. */
struct unknown {
	char **names[3]; /* by enum entry_scope */
	size_t count[3];
};

/* Each costs one more parse of the file. */
#define UNKNOWN_MAX 1000

/* libconfuse's callbacks get no pointer of ours: this is the file being read. */
static struct {
	struct entries *entries;
	struct error_list *errors;
	struct unknown *unknown;
	const char *file;
	const cfg_t *root;
	bool failed, again;
} reading;

static enum entry_scope scope_of(const cfg_t *cfg)
{
	if (strcmp(cfg->name, "options") == 0)
		return ENTRY_OPTION;
	return strcmp(cfg->name, "service") == 0 ? ENTRY_SERVICE : ENTRY_GLOBAL;
}

/* The assignment that a value is added to: with `+=` it need not be the last. */
static struct entry *entry_of(const cfg_t *cfg, const cfg_opt_t *opt)
{
	const struct entries *e = reading.entries;
	enum entry_scope scope = scope_of(cfg);
	size_t i = e->count;

	while (--i > 0) {
		const struct entry *entry = &e->items[i];

		if (entry->scope == scope && strcmp(entry->key, opt->name) == 0 &&
		    (scope == ENTRY_GLOBAL || entry->service + 1 == e->service_count))
			break;
	}
	return &e->items[i];
}

static int on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	struct entries *entries = reading.entries;
	struct entry *entry;

	*(const char **)result = value;
	if (strcmp(opt->name, SECTION_MARK) == 0) {
		entries_add_service(entries, cfg->title, reading.file, reading.root->line);
		return 0;
	}
	/* libconfuse made room for the value already: the first of an assignment is number one. */
	if (opt->nvalues <= 1)
		entry = entries_add(entries, scope_of(cfg), reading.file, cfg->line, opt->name);
	else
		entry = entry_of(cfg, opt);
	if (!(opt->flags & CFGF_LIST) || strcmp(value, SCAN_EMPTY_LIST) != 0)
		entry_add_value(entry, value);
	return 0;
}

static bool note_unknown(const cfg_t *cfg, const char *name)
{
	enum entry_scope scope = scope_of(cfg);
	struct unknown *u = reading.unknown;

	if (u->count[scope] == UNKNOWN_MAX)
		return false;
	u->names[scope] = mem_grow(u->names[scope], u->count[scope] + 1, sizeof(char *));
	u->names[scope][u->count[scope]++] = mem_text(name);
	return true;
}

__attribute__((format(printf, 2, 0))) static void on_error(cfg_t *cfg, const char *format,
							   va_list ap)
{
	char text[512];
	va_list copy;

	/* Nothing sets a locale, so the texts are these. */
	if (strcmp(format, "no such option '%s'") == 0) {
		va_copy(copy, ap);
		reading.again = note_unknown(cfg, va_arg(copy, char *));
		va_end(copy);
		if (reading.again)
			return;
	}
	vsnprintf(text, sizeof(text), format, ap);
	error_list_add(reading.errors, EX_CONFIG, "%s:%d: syntax: %s", reading.file, cfg->line,
		       text);
	reading.failed = true;
}

static void add_option(cfg_opt_t *opts, size_t *n, const char *name, bool list)
{
	opts[(*n)++] = (cfg_opt_t){.name = name,
				   .type = CFGT_STR,
				   .flags = list ? CFGF_LIST : CFGF_NODEFAULT,
				   .parsecb = on_value};
}

/* The options of one scope for libconfuse; everything is a string to it, the schema knows better.
 */
static cfg_opt_t *make_options(enum entry_scope scope, const struct unknown *unknown,
			       cfg_opt_t *section)
{
	static char mark[] = "{x}";
	cfg_opt_t *opts = mem_new(schema_count + unknown->count[scope] + 3, sizeof(*opts));
	size_t n = 0;

	for (size_t i = 0; scope != ENTRY_OPTION && i < schema_count; i++)
		add_option(opts, &n, schema[i].name, schema[i].type->is_list);
	for (size_t i = 0; i < unknown->count[scope]; i++)
		add_option(opts, &n, unknown->names[scope][i], true);
	if (scope == ENTRY_SERVICE) {
		add_option(opts, &n, SECTION_MARK, true);
		opts[n - 1].def.parsed = mark;
	}
	if (section)
		opts[n++] = *section;
	opts[n] = (cfg_opt_t)CFG_END();
	return opts;
}

static void parse_once(const char *text, struct unknown *unknown)
{
	cfg_opt_t *options = make_options(ENTRY_OPTION, unknown, NULL);
	cfg_opt_t options_section = CFG_SEC("options", options, CFGF_NONE);
	cfg_opt_t *service = make_options(ENTRY_SERVICE, unknown, &options_section);
	cfg_opt_t service_section = CFG_SEC("service", service, CFGF_MULTI | CFGF_TITLE);
	cfg_opt_t *global = make_options(ENTRY_GLOBAL, unknown, &service_section);
	cfg_t *cfg = cfg_init(global, CFGF_NONE);
	FILE *fp = fmemopen((void *)(uintptr_t)text, strlen(text), "r");

	reading.again = false;
	reading.root = cfg;
	cfg_set_error_function(cfg, on_error);
	cfg->filename = mem_text(reading.file);
	/* An empty name ends the parse without a word. */
	if (fp && cfg_parse_fp(cfg, fp) != CFG_SUCCESS && !reading.failed && !reading.again) {
		error_list_add(reading.errors, EX_CONFIG, "%s:%d: syntax: expected a key",
			       reading.file, cfg->line);
		reading.failed = true;
	}
	if (fp)
		fclose(fp);
	cfg_free(cfg);
	free(options);
	free(service);
	free(global);
}

static void free_unknown(struct unknown *u)
{
	for (size_t scope = 0; scope < 3; scope++) {
		for (size_t i = 0; i < u->count[scope]; i++)
			free(u->names[scope][i]);
		free(u->names[scope]);
	}
}

static void parse_text(struct entries *entries, const char *file, const char *text,
		       struct error_list *errors)
{
	struct unknown unknown = {0};
	size_t count = entries->count, services = entries->service_count;
	int line;
	const char *wrong;
	char *plain = scan_syntax(text, &wrong, &line);

	if (!plain) {
		error_list_add(errors, EX_CONFIG, "%s:%d: syntax: %s", file, line, wrong);
		return;
	}
	reading.entries = entries;
	reading.errors = errors;
	reading.unknown = &unknown;
	reading.file = file;
	reading.failed = false;
	reading.again = *text != '\0';
	while (reading.again) {
		entries_truncate(entries, count, services);
		parse_once(plain, &unknown);
	}
	if (reading.failed && entries->service_count > services)
		entries->services[entries->service_count - 1].cut = true;
	reading.unknown = NULL;
	free(plain);
	free_unknown(&unknown);
}

/* Root must not obey a file that somebody else could have written. */
static int check_owner(int fd, const char *file, struct error_list *errors)
{
	struct stat st;

	if (geteuid() != 0 || fstat(fd, &st) < 0)
		return 0;
	if (!(st.st_mode & S_IWOTH) && (!(st.st_mode & S_IWGRP) || st.st_gid == 0))
		return 0;
	error_list_add(errors, EX_CONFIG,
		       "%s: others than its owner may write it (mode %04o); chmod go-w %s", file,
		       (unsigned)(st.st_mode & 07777), file);
	return -1;
}

static void read_file(struct entries *entries, const char *file, struct error_list *errors)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	size_t size = 0;
	char *text = NULL;

	if (fd >= 0 && check_owner(fd, file, errors) < 0) {
		fd_close(&fd);
		return;
	}
	if (fd >= 0)
		text = fd_read_all(fd, FILE_MAX, &size);
	if (!text)
		error_list_add(errors, EX_CONFIG, "%s: %s", file, strerror(errno));
	else if (memchr(text, '\0', size))
		error_list_add(errors, EX_CONFIG, "%s: holds a NUL byte; not a text file", file);
	else
		parse_text(entries, file, text, errors);
	free(text);
	fd_close(&fd);
}

/* glob(3) reads patterns; a folder may be called `a[b]`. */
static char *glob_literal(const char *text)
{
	char *out = mem_new(strlen(text) * 2 + 1, 1), *p = out;

	for (; *text; text++) {
		if (strchr("*?[\\", *text))
			*p++ = '\\';
		*p++ = *text;
	}
	return out;
}

/* conf.d beside preforkd.conf; beside the file of another instance one of its own, FILE.d: what two
 * read would be bound by both. */
static char *folder_of(const char *file)
{
	const char *slash = strrchr(file, '/');
	const char *name = slash ? slash + 1 : file;

	if (strcmp(name, "preforkd.conf") != 0)
		return mem_format("%s.d", file);
	return slash ? mem_format("%.*s/conf.d", (int)(slash - file), file) : mem_text("./conf.d");
}

int entries_read(struct entries *entries, const char *file, struct error_list *errors)
{
	char *folder = folder_of(file);
	char *literal = glob_literal(folder);
	char *pattern = mem_format("%s/*.conf", literal);
	size_t before = errors->count;
	glob_t found = {0};

	read_file(entries, file, errors);
	if (glob(pattern, 0, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc; i++)
			read_file(entries, found.gl_pathv[i], errors);
	globfree(&found);
	free(pattern);
	free(literal);
	free(folder);
	return errors->count == before ? 0 : -1;
}
