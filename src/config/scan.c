/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/scan.h"

#define DEPTH_MAX 64

struct scan {
	const char *p;
	char *out;
	char last[2]; /* the last characters but blanks and comments */
	int line;
	int open[DEPTH_MAX]; /* the lines of the open braces */
	int depth;
};

static void put(struct scan *s, char c)
{
	*s->out++ = c;
	if (isspace((unsigned char)c))
		return;
	s->last[0] = s->last[1];
	s->last[1] = c;
}

static void advance(struct scan *s)
{
	if (*s->p == '\n')
		s->line++;
	put(s, *s->p++);
}

static void blank(struct scan *s)
{
	if (*s->p == '\n')
		s->line++;
	put(s, *s->p++ == '\n' ? '\n' : ' ');
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
	blank(s);
	blank(s);
	while (*s->p && (s->p[0] != '*' || s->p[1] != '/'))
		blank(s);
	if (!*s->p)
		return "a comment that is never closed";
	blank(s);
	blank(s);
	return NULL;
}

static void skip_line(struct scan *s)
{
	while (*s->p && *s->p != '\n')
		blank(s);
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
	if (*s->p == '}' && s->last[0] == '=' && s->last[1] == '{')
		s->out = stpcpy(s->out, "'" SCAN_EMPTY_LIST "'");
	advance(s);
	return NULL;
}

/* libconfuse passes over these two without a word. */
static const char *refuse_stray(const struct scan *s, int *line)
{
	*line = s->line;
	return *s->p == '*' ? "an asterisk outside of quotes" : "a plus sign outside of quotes";
}

static const char *scan(struct scan *s, int *line)
{
	const char *wrong = NULL;
	bool in_word = false; /* "a//b" and "a/b" are words; a comment starts only outside one */

	while (*s->p && !wrong) {
		bool word = false;

		if (*s->p == '"' || *s->p == '\'')
			wrong = skip_string(s, line);
		else if (*s->p == '#' || (!in_word && s->p[0] == '/' && s->p[1] == '/'))
			skip_line(s);
		else if (!in_word && s->p[0] == '/' && s->p[1] == '*')
			wrong = skip_comment(s, line);
		else if (*s->p == '{' || *s->p == '}')
			wrong = count_brace(s, line);
		else if (*s->p == '*' || (*s->p == '+' && s->p[1] != '='))
			wrong = refuse_stray(s, line);
		else {
			word = !isspace((unsigned char)*s->p) && !strchr("=(),+", *s->p);
			advance(s);
		}
		in_word = word;
	}
	if (!wrong && s->depth > 0) {
		*line = s->open[s->depth - 1];
		wrong = "a brace that is never closed";
	}
	return wrong;
}

char *scan_syntax(const char *text, const char **wrong, int *line)
{
	/* `={}` grows by a string, once for three characters. */
	char *out = mem_new(strlen(text) / 3 + 1, 3 + sizeof("'" SCAN_EMPTY_LIST "'"));
	struct scan s = {.p = text, .out = out, .line = 1};

	*wrong = scan(&s, line);
	if (!*wrong)
		return out;
	free(out);
	return NULL;
}
