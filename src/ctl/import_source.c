/* SPDX-License-Identifier: ISC */
/* Files as texts and lines, and of which kind they are. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl/import.h"

#define FILE_MAX (1024 * 1024)
#define BLANKS   " \t\r\f\v"

char *import_read(struct import *import, const char *file)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	char *text = NULL, *copy = NULL;
	size_t size = 0;

	if (fd >= 0)
		text = fd_read_all(fd, FILE_MAX, &size);
	if (!text)
		import_error(import, EX_NOINPUT, file, 0, "%s", strerror(errno));
	else if (memchr(text, '\0', size))
		import_error(import, EX_DATAERR, file, 0, "holds a NUL byte; not a text file");
	else
		copy = arena_text(&import->arena, text);
	free(text);
	fd_close(&fd);
	return copy;
}

char *import_line(char **rest)
{
	char *line = *rest, *end;

	if (!line || !*line)
		return NULL;
	end = strchrnul(line, '\n');
	*rest = *end ? end + 1 : end;
	*end = '\0';
	if (end > line && end[-1] == '\r')
		end[-1] = '\0';
	return line;
}

char *import_folder(struct import *import, const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return arena_text(&import->arena, ".");
	return arena_cut(&import->arena, path, slash == path ? 1 : (size_t)(slash - path));
}

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), tail = strlen(end);

	return length >= tail && strcmp(text + length - tail, end) == 0;
}

static bool is_one_of(const char *word, const char *const *names)
{
	for (; *names; names++)
		if (strcmp(word, *names) == 0)
			return true;
	return false;
}

static bool is_socket_type(const char *word)
{
	static const char *const types[] = {"stream", "dgram", "raw", "rdm", "seqpacket", NULL};
	char type[16];
	size_t length = strcspn(word, ":"); /* NetBSD's accept filter */

	if (length >= sizeof(type))
		return false;
	memcpy(type, word, length);
	type[length] = '\0';
	return is_one_of(type, types);
}

static enum import_kind kind_of_line(struct arena *arena, const char *line)
{
	static const char *const words[] = {"service", "defaults", "include", "includedir", NULL};
	struct texts fields = texts_split(arena, line, BLANKS);

	/* A service of inetd may be called `service` too, and begin with an address in brackets. */
	if (fields.count > 1 && is_socket_type(fields.items[1]))
		return IMPORT_INETD;
	if (fields.count == 1 && *line == '[' && ends_with(fields.items[0], "]"))
		return IMPORT_UNIT;
	if (is_one_of(fields.items[0], words))
		return IMPORT_XINETD;
	if (fields.count == 1 && ends_with(fields.items[0], ":"))
		return IMPORT_INETD;
	return IMPORT_UNKNOWN;
}

/* A line that is no comment, or one that inetd's tools have switched off. */
static enum import_kind kind_of_text(struct arena *arena, const char *text)
{
	char *rest = arena_text(arena, text), *line;

	while ((line = import_line(&rest))) {
		line += strspn(line, BLANKS);
		if (strncmp(line, "#<off>#", 7) == 0)
			return IMPORT_INETD;
		if (*line && *line != '#' && *line != ';')
			return kind_of_line(arena, line);
	}
	return IMPORT_EMPTY;
}

enum import_kind import_kind_of(struct import *import, const char *file, const char *text)
{
	enum import_kind kind = kind_of_text(&import->arena, text);

	if (ends_with(file, ".socket") || ends_with(file, ".service"))
		return IMPORT_UNIT;
	/* A mistake in the first line is no reason not to know it. */
	if (kind == IMPORT_UNKNOWN && ends_with(file, "xinetd.conf"))
		return IMPORT_XINETD;
	return kind == IMPORT_UNKNOWN && ends_with(file, "inetd.conf") ? IMPORT_INETD : kind;
}
