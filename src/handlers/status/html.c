/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "base/log_escape.h"
#include "handlers/status/html.h"

#define CHUNK        256
#define USEC_PER_SEC UINT64_C(1000000)

static void put_escaped(FILE *out, const char *text)
{
	for (const char *p = text; *p; p++) {
		if (*p == '&')
			fputs("&amp;", out);
		else if (*p == '<')
			fputs("&lt;", out);
		else if (*p == '>')
			fputs("&gt;", out);
		else if (*p == '"')
			fputs("&quot;", out);
		else if (*p == '\'')
			fputs("&#39;", out);
		else
			fputc(*p, out);
	}
}

/* Where a piece may end: not inside a character of UTF-8. */
static size_t piece(const char *text, size_t length)
{
	size_t size = length < CHUNK ? length : CHUNK;

	while (size < length && size > CHUNK - 4 && ((unsigned char)text[size] & 0xc0) == 0x80)
		size--;
	return size;
}

void html_text(FILE *out, const char *text)
{
	char safe[4 * CHUNK + 1];
	size_t length = strlen(text);

	while (length > 0) {
		size_t size = piece(text, length);

		log_escape_line(safe, sizeof(safe), text, size);
		put_escaped(out, safe);
		text += size;
		length -= size;
	}
}

void html_cell(FILE *out, const char *label, const char *class, const char *text)
{
	/* "–": not known. */
	const char *none = strcmp(text, "–") == 0 ? " none" : "";

	fprintf(out, "<td role=\"cell\" class=\"%s%s\" data-label=\"%s\">", class, none, label);
	html_text(out, text);
	fputs("</td>\n", out);
}

const char *html_count(char *text, uint64_t value)
{
	char digits[24];
	size_t length = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, value);
	char *to = text;

	for (size_t i = 0; i < length; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			to = stpcpy(to, "\u202f");
		*to++ = digits[i];
	}
	*to = '\0';
	return text;
}

const char *html_age(char *text, uint64_t usec)
{
	uint64_t s = usec / USEC_PER_SEC;

	if (s < 60)
		snprintf(text, HTML_SHOWN_MAX, "%" PRIu64 " s", s);
	else if (s < 3600)
		snprintf(text, HTML_SHOWN_MAX, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(text, HTML_SHOWN_MAX, "%" PRIu64 " h %" PRIu64 " min", s / 3600,
			 s % 3600 / 60);
	else
		snprintf(text, HTML_SHOWN_MAX, "%" PRIu64 " d %" PRIu64 " h", s / 86400,
			 s % 86400 / 3600);
	return text;
}

const char *html_usec(char *text, uint64_t usec)
{
	if (usec < 1000)
		snprintf(text, HTML_SHOWN_MAX, "%" PRIu64 " µs", usec);
	else if (usec < USEC_PER_SEC)
		snprintf(text, HTML_SHOWN_MAX, "%.*f ms", usec < 9950 ? 1 : 0, (double)usec / 1e3);
	else if (usec < 60 * USEC_PER_SEC)
		snprintf(text, HTML_SHOWN_MAX, "%.*f s", usec < 9950000 ? 1 : 0,
			 (double)usec / 1e6);
	else
		return html_age(text, usec);
	return text;
}
