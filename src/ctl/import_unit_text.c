/* SPDX-License-Identifier: ISC */
/* The texts of units: quoting, escapes, specifiers, times. */
#include <config.h>

#include <ctype.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"
#include "ctl/import_unit.h"

#define BLANKS " \t\r\n"

/* ---- words ---- */

struct quoted {
	const char *in;
	char *out;
};

static void put_utf8(struct quoted *q, unsigned long c)
{
	if (c < 0x80) {
		*q->out++ = (char)c;
		return;
	}
	if (c < 0x800) {
		*q->out++ = (char)(0xc0 | c >> 6);
	} else {
		if (c < 0x10000) {
			*q->out++ = (char)(0xe0 | c >> 12);
		} else {
			*q->out++ = (char)(0xf0 | c >> 18);
			*q->out++ = (char)(0x80 | (c >> 12 & 0x3f));
		}
		*q->out++ = (char)(0x80 | (c >> 6 & 0x3f));
	}
	*q->out++ = (char)(0x80 | (c & 0x3f));
}

/* Digits behind the backslash and a letter: \xHH, \uHHHH, \UHHHHHHHH, \OOO. */
static bool take_digits(struct quoted *q, size_t skip, size_t count, int base, bool byte)
{
	char digits[9] = "", *end;
	unsigned long c;

	for (size_t i = 0; i < count && q->in[skip + i]; i++)
		digits[i] = q->in[skip + i];
	c = strtoul(digits, &end, base);
	if (!isxdigit((unsigned char)*digits) || (size_t)(end - digits) != count || c == 0 ||
	    c > 0x10ffff || (byte && c > 0xff))
		return false;
	if (byte)
		*q->out++ = (char)c;
	else
		put_utf8(q, c);
	q->in += skip + count;
	return true;
}

/* At a backslash. What is no escape stays as it is. */
static void take_escape(struct quoted *q)
{
	static const char letters[] = "abfnrtvs\"'\\", bytes[] = "\a\b\f\n\r\t\v \"'\\";
	char c = q->in[1];
	const char *letter = c ? strchr(letters, c) : NULL;

	if (letter) {
		*q->out++ = bytes[letter - letters];
		q->in += 2;
	} else if ((c == 'x' && take_digits(q, 2, 2, 16, true)) ||
		   (c == 'u' && take_digits(q, 2, 4, 16, false)) ||
		   (c == 'U' && take_digits(q, 2, 8, 16, false)) ||
		   (c >= '0' && c <= '7' && take_digits(q, 1, 3, 8, true))) {
		return;
	} else {
		*q->out++ = *q->in++;
	}
}

/* One word; its quotes may begin anywhere in it. */
static bool take_word(struct quoted *q)
{
	char quote = '\0';

	while (*q->in && (quote || !strchr(BLANKS, *q->in))) {
		if (*q->in == '\\')
			take_escape(q);
		else if (quote ? *q->in == quote : (*q->in == '"' || *q->in == '\''))
			quote = quote ? '\0' : *q->in, q->in++;
		else
			*q->out++ = *q->in++;
	}
	*q->out = '\0';
	return !quote;
}

bool unit_words(struct arena *arena, const char *value, struct texts *words)
{
	struct quoted q = {.in = value + strspn(value, BLANKS)};

	while (*q.in) {
		char *word = arena_take(arena, strlen(q.in) + 1);

		q.out = word;
		/* A semicolon with a backslash is one that separates no commands. */
		if (strncmp(q.in, "\\;", 2) == 0 && (!q.in[2] || strchr(BLANKS, q.in[2])))
			q.in++, *q.out++ = *q.in++;
		else if (!take_word(&q))
			return false;
		texts_add(arena, words, word);
		q.in += strspn(q.in, BLANKS);
	}
	return true;
}

/* ---- specifiers ---- */

/* As systemd-escape --unescape. */
static char *unescaped(struct arena *arena, const char *text)
{
	struct quoted q = {.in = text};
	char *result = q.out = arena_take(arena, strlen(text) + 1);

	while (*q.in) {
		if (*q.in == '-') {
			*q.out++ = '/';
			q.in++;
		} else if (*q.in == '\\') {
			take_escape(&q);
		} else {
			*q.out++ = *q.in++;
		}
	}
	return result;
}

static const char *from_environment(struct arena *arena, const char *variable, const char *folder)
{
	const char *value = getenv(variable), *home = getenv("HOME");

	if (value)
		return value;
	return home ? arena_format(arena, "%s/%s", home, folder) : NULL;
}

/* The folders that a manager has: the system's, and a user's. */
static const char *folder_of(struct arena *arena, char specifier, bool of_user)
{
	switch (specifier) {
	case 't':
		return of_user ? getenv("XDG_RUNTIME_DIR") : "/run";
	case 'S':
		return of_user ? from_environment(arena, "XDG_STATE_HOME", ".local/state")
			       : "/var/lib";
	case 'C':
		return of_user ? from_environment(arena, "XDG_CACHE_HOME", ".cache") : "/var/cache";
	case 'L':
		return of_user ? from_environment(arena, "XDG_STATE_HOME", ".local/state/log")
			       : "/var/log";
	case 'E':
		return of_user ? from_environment(arena, "XDG_CONFIG_HOME", ".config") : "/etc";
	case 'T':
		return "/tmp";
	case 'V':
		return "/var/tmp";
	default:
		return NULL;
	}
}

/* The user that the manager is of. */
static const char *user_of(struct arena *arena, char specifier, bool of_user)
{
	/* cppcheck-suppress getpwuidCalled; one thread */
	const struct passwd *user = getpwuid(of_user ? getuid() : 0);
	const struct group *group;

	if (!user)
		return NULL;
	switch (specifier) {
	case 'u':
		return arena_text(arena, user->pw_name);
	case 'U':
		return arena_format(arena, "%u", (unsigned)user->pw_uid);
	case 'g':
		/* cppcheck-suppress getgrgidCalled; one thread */
		group = getgrgid(user->pw_gid);
		return group ? arena_text(arena, group->gr_name) : NULL;
	case 'G':
		return arena_format(arena, "%u", (unsigned)user->pw_gid);
	case 'h':
		return arena_text(arena, user->pw_dir);
	case 's':
		return arena_text(arena, user->pw_shell);
	default:
		return NULL;
	}
}

static const char *host_name(struct arena *arena, bool is_short)
{
	char name[256] = "";

	if (gethostname(name, sizeof(name) - 1) < 0)
		return NULL;
	if (is_short)
		name[strcspn(name, ".")] = '\0';
	return arena_text(arena, name);
}

static const char *name_of(struct arena *arena, const struct unit *unit, char specifier)
{
	const char *dash = strrchr(unit->prefix, '-'), *last = dash ? dash + 1 : unit->prefix;

	switch (specifier) {
	case 'n':
		return unit->name;
	case 'N':
		return arena_cut(arena, unit->name,
				 (size_t)(strrchr(unit->name, '.') - unit->name));
	case 'p':
		return unit->prefix;
	case 'P':
		return unescaped(arena, unit->prefix);
	case 'j':
		return last;
	case 'J':
		return unescaped(arena, last);
	case 'i':
		return unit->instance ? unit->instance : "";
	case 'I':
		return unescaped(arena, unit->instance ? unit->instance : "");
	case 'f':
		return arena_format(
			arena, "/%s",
			unescaped(arena, unit->instance ? unit->instance : unit->prefix));
	default:
		return NULL;
	}
}

/* NULL for one that has no equivalent. */
static const char *value_of(struct arena *arena, const struct unit *unit, char specifier)
{
	const char *value;

	/* Each connection has an instance of its own. */
	if (unit->template && strchr("nNiIf", specifier))
		return NULL;
	if (specifier == '%')
		return "%";
	if (specifier == 'H' || specifier == 'l')
		return host_name(arena, specifier == 'l');
	value = name_of(arena, unit, specifier);
	if (!value)
		value = folder_of(arena, specifier, unit->of_user);
	return value ? value : user_of(arena, specifier, unit->of_user);
}

/* A letter that means nothing to systemd stays as it is. */
static const char *value_at(struct unit_pair *pair, const struct unit *unit, const char *percent)
{
	static const char known[] = "%aAbBCdDEfgGhHiIjJlLmMnNopPqsStTuUvVwWyY";
	struct arena *arena = &pair->import->arena;
	const char *value = NULL;

	if (percent[1] && strchr(known, percent[1]))
		value = value_of(arena, unit, percent[1]);
	if (!value && percent[1] && strchr(known, percent[1]) && pair->draft)
		draft_off(pair->draft, "%%%c in %s has no equivalent", percent[1], unit->name);
	return value ? value : arena_cut(arena, percent, percent[1] ? 2 : 1);
}

char *unit_expand(struct unit_pair *pair, const struct unit *unit, const char *value)
{
	struct arena *arena = &pair->import->arena;
	char *text = arena_text(arena, "");

	for (;;) {
		size_t length = strcspn(value, "%");

		text = arena_format(arena, "%s%.*s", text, (int)length, value);
		value += length;
		if (!*value)
			return text;
		text = arena_format(arena, "%s%s", text, value_at(pair, unit, value));
		value += value[1] ? 2 : 1;
	}
}

/* ---- times ---- */

static bool factor_of(const char *unit, uint64_t *factor)
{
	static const struct {
		const char *names;
		uint64_t factor;
	} units[] = {
		{" us usec µs μs ", 1},
		{" ms msec ", USEC_PER_MSEC},
		{"  s sec second seconds ", USEC_PER_SEC},
		{" m min minute minutes ", 60 * USEC_PER_SEC},
		{" h hr hour hours ", 3600 * USEC_PER_SEC},
		{" d day days ", 86400 * USEC_PER_SEC},
		{" w week weeks ", 7 * 86400 * USEC_PER_SEC},
		{" M month months ", 2629800 * USEC_PER_SEC},
		{" y year years ", 31557600 * USEC_PER_SEC},
	};
	char name[24];

	if (snprintf(name, sizeof(name), " %s ", unit) >= (int)sizeof(name))
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (!strstr(units[i].names, name))
			continue;
		*factor = units[i].factor;
		return true;
	}
	return false;
}

/* 1min 30s, 2.5h, 90. */
bool unit_span(struct arena *arena, const char *value, uint64_t *usec)
{
	uint64_t factor;

	*usec = 0;
	if (strcmp(value, "infinity") == 0) {
		*usec = UINT64_MAX;
		return true;
	}
	for (value += strspn(value, BLANKS); *value; value += strspn(value, BLANKS)) {
		size_t digits = strspn(value, "0123456789."), letters;
		double number = strtod(value, NULL);

		if (digits == 0)
			return false;
		value += digits;
		value += strspn(value, BLANKS);
		letters = strcspn(value, BLANKS "0123456789.");
		if (!factor_of(arena_cut(arena, value, letters), &factor) ||
		    number * (double)factor > 1e15)
			return false;
		*usec += (uint64_t)(number * (double)factor);
		value += letters;
	}
	return true;
}
