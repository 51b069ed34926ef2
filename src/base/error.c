/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/error.h"

static void mark_cut(char *text, size_t room)
{
	static const char dots[] = "...";

	memcpy(text + room - sizeof(dots), dots, sizeof(dots));
}

int error_set(struct error *err, int code, const char *format, ...)
{
	char text[ERROR_TEXT_MAX]; /* the arguments may be err->text itself */
	va_list args;
	int length;

	if (!err)
		return -1;
	va_start(args, format);
	length = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (length < 0)
		text[0] = '\0';
	if (length >= (int)sizeof(text))
		mark_cut(text, sizeof(text));
	memcpy(err->text, text, strlen(text) + 1);
	err->code = code;
	err->message = MESSAGE_none;
	return -1;
}

int error_code_of(int errnum)
{
	static const struct {
		int errnum, code;
	} codes[] = {
		{EACCES, EX_NOPERM},
		{EPERM, EX_NOPERM},
		{EROFS, EX_NOPERM},
		{EADDRINUSE, EX_UNAVAILABLE},
		{EADDRNOTAVAIL, EX_UNAVAILABLE},
		{EAFNOSUPPORT, EX_UNAVAILABLE},
		{EPROTONOSUPPORT, EX_UNAVAILABLE},
		{ECONNREFUSED, EX_UNAVAILABLE},
		{ECONNRESET, EX_UNAVAILABLE},
		{EHOSTUNREACH, EX_UNAVAILABLE},
		{ENETDOWN, EX_UNAVAILABLE},
		{ENETUNREACH, EX_UNAVAILABLE},
		{ETIMEDOUT, EX_UNAVAILABLE},
		{EINVAL, EX_CONFIG},
		{EISDIR, EX_CONFIG},
		{ELOOP, EX_CONFIG},
		{ENAMETOOLONG, EX_CONFIG},
		{ENODEV, EX_CONFIG},
		{ENOENT, EX_CONFIG},
		{ENOEXEC, EX_CONFIG},
		{ENOTDIR, EX_CONFIG},
		{ENOTSOCK, EX_CONFIG},
	};

	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++)
		if (codes[i].errnum == errnum)
			return codes[i].code;
	return EX_OSERR;
}

/* The texts end with a NULL: a dropped one is in the count, but not among them. */
static size_t texts_kept(const struct error_list *list)
{
	size_t kept = 0;

	while (list->texts && list->texts[kept])
		kept++;
	return kept;
}

static int keep_text(struct error_list *list, char *text)
{
	size_t kept = texts_kept(list);
	char **texts = realloc(list->texts, (kept + 2) * sizeof(*texts));

	if (!texts)
		return -1;
	texts[kept] = text;
	texts[kept + 1] = NULL;
	list->texts = texts;
	return 0;
}

void error_list_add(struct error_list *list, int code, const char *format, ...)
{
	va_list args;
	char *text;
	int length;

	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	if (length >= 0 && keep_text(list, text))
		free(text);
	if (!list->count++)
		list->code = code;
}

char *error_list_join(const struct error_list *list)
{
	size_t kept = texts_kept(list), room = 1;
	char *joined, *end;

	for (size_t i = 0; i < kept; i++)
		room += strlen(list->texts[i]) + 1;
	joined = malloc(room);
	if (!joined)
		return NULL;
	end = joined;
	for (size_t i = 0; i < kept; i++) {
		if (i)
			*end++ = '\n';
		end = stpcpy(end, list->texts[i]);
	}
	*end = '\0';
	return joined;
}

void error_list_free(struct error_list *list)
{
	size_t kept = texts_kept(list);

	for (size_t i = 0; i < kept; i++)
		free(list->texts[i]);
	free(list->texts);
	*list = (struct error_list){0};
}
