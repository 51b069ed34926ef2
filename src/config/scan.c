/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "config/scan.h"

#define DEPTH_MAX 64

struct scan {
	const char *p;
	int line;
	int open[DEPTH_MAX]; /* the lines of the open braces */
	int depth;
};

static void advance(struct scan *s)
{
	if (*s->p == '\n')
		s->line++;
	s->p++;
}

/* Octal, three digits at most, as a byte: anything else libconfuse refuses. */
static bool escape_is_bad(const char *digits)
{
	size_t n = strspn(digits, "0123456789");

	return n > 0 && (n > 3 || strspn(digits, "01234567") < n || (n == 3 && digits[0] > '3'));
}

static const char *skip_string(struct scan *s, int *line)
{
	char quote = *s->p;

	*line = s->line;
	advance(s);
	while (*s->p && *s->p != quote) {
		if (*s->p == '\\' && quote == '"' && escape_is_bad(s->p + 1)) {
			*line = s->line;
			return "a bad escape in a string (\\ddd is octal, at most \\377)";
		}
		if (*s->p == '\\' && s->p[1])
			advance(s);
		advance(s);
	}
	if (!*s->p)
		return "a string that is never closed";
	advance(s);
	return NULL;
}

static const char *skip_comment(struct scan *s, int *line)
{
	*line = s->line;
	s->p += 2;
	while (*s->p && (s->p[0] != '*' || s->p[1] != '/'))
		advance(s);
	if (!*s->p)
		return "a comment that is never closed";
	s->p += 2;
	return NULL;
}

static const char *count_brace(struct scan *s, int *line)
{
	*line = s->line;
	if (*s->p == '}' && s->depth == 0)
		return "a closing brace that closes nothing";
	if (*s->p == '{' && s->depth == DEPTH_MAX)
		return "braces nested too deeply";
	if (*s->p == '{')
		s->open[s->depth++] = s->line;
	else
		s->depth--;
	advance(s);
	return NULL;
}

const char *scan_syntax(const char *text, int *line)
{
	struct scan s = {.p = text, .line = 1};
	const char *wrong = NULL;
	bool in_word = false; /* "a//b" and "a/b" are words; a comment starts only outside one */

	while (*s.p && !wrong) {
		bool word = false;

		if (*s.p == '"' || *s.p == '\'')
			wrong = skip_string(&s, line);
		else if (*s.p == '#' || (!in_word && s.p[0] == '/' && s.p[1] == '/'))
			s.p += strcspn(s.p, "\n");
		else if (!in_word && s.p[0] == '/' && s.p[1] == '*')
			wrong = skip_comment(&s, line);
		else if (*s.p == '{' || *s.p == '}')
			wrong = count_brace(&s, line);
		else {
			word = !isspace((unsigned char)*s.p) && !strchr("=(),+", *s.p);
			advance(&s);
		}
		in_word = word;
	}
	if (!wrong && s.depth > 0) {
		*line = s.open[s.depth - 1];
		wrong = "a brace that is never closed";
	}
	return wrong;
}
