/* SPDX-License-Identifier: ISC */
/* The verb import: configuration of inetd, xinetd and systemd as that of preforkd. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "ctl/ctl.h"
#include "ctl/import.h"

#define WORKERS_REMARK                                                                   \
	"With exec a service has as many clients at once as it has workers, 4 for each " \
	"address unless it says so; the next ones wait."
#define PRIVILEGES_REMARK                                                                   \
	"Programs get no privileges by set-user-ID files (su, sudo): those that need them " \
	"want sandbox = \"off\". See preforkd-programs(7)."

static void take_file(struct import *import, const char *file)
{
	char *text = import_read(import, file);
	enum import_kind kind;

	if (!text)
		return;
	kind = import_kind_of(import, file, text);
	/* Of a unit all files are listed when they are read, its drop-ins too. */
	if (kind != IMPORT_UNKNOWN && kind != IMPORT_UNIT)
		texts_add(&import->arena, &import->files, file);
	switch (kind) {
	case IMPORT_INETD:
		import_inetd(import, file, text);
		break;
	case IMPORT_XINETD:
		import_xinetd(import, file, text);
		break;
	case IMPORT_UNIT:
		import_unit(import, file);
		break;
	case IMPORT_EMPTY:
		import_remark(import,
			      arena_format(&import->arena, "%s holds nothing but comments.", file));
		break;
	case IMPORT_UNKNOWN:
		import_error(import, EX_DATAERR, file, 0,
			     "neither inetd.conf, nor of xinetd, nor a .socket or .service unit");
		break;
	}
}

static void take_folder(struct import *import, const char *folder)
{
	struct texts files = import_included(import, folder);

	for (size_t i = 0; i < files.count; i++)
		take_file(import, files.items[i]);
}

/* A unit may be there as a template, so that web@front.socket is no file. */
static bool is_unit_name(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot && strchr(path, '@') &&
	       (strcmp(dot, ".socket") == 0 || strcmp(dot, ".service") == 0);
}

static void take(struct import *import, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0 && errno == ENOENT && is_unit_name(path))
		import_unit(import, path);
	else if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		take_folder(import, path);
	else
		take_file(import, path);
}

static void remark(struct import *import)
{
	bool programs = false, enabled = false;

	for (size_t i = 0; i < import->draft_count; i++) {
		const struct draft *draft = import->drafts[i];

		programs |= draft_values(draft, "exec") && !draft->none;
		enabled |= !draft->off.count && !draft->none;
	}
	if (programs)
		import_remark(import, WORKERS_REMARK);
	if (programs)
		import_remark(import, PRIVILEGES_REMARK);
	if (!enabled)
		import_remark(import, "No service here is enabled, and preforkd needs one that is, "
				      "in this file or another.");
}

static void print_errors(const struct import *import)
{
	for (char **text = import->errors.texts; text && *text; text++)
		fprintf(stderr, "preforkctl: %s\n", *text);
}

int import_run(const struct ctl *ctl, int argc, char **argv, struct error *err)
{
	struct import import = {0};
	int code;

	(void)ctl;
	if (argc == 0)
		return error_set(err, EX_USAGE, "import: of which file? preforkctl import FILE...");
	for (int i = 0; i < argc; i++)
		take(&import, argv[i]);
	import_xinetd_finish(&import);
	import_unit_finish(&import);
	import_look_here(&import);
	import_name(&import);
	remark(&import);
	import_print(&import);
	print_errors(&import);
	code = import.errors.count ? import.errors.code : 0;
	error_list_free(&import.errors);
	arena_free(&import.arena);
	return code;
}
