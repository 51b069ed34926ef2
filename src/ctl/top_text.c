/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <langinfo.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "base/log.h"
#include "ctl/top_text.h"

/* The longest text that is looked at, with its escapes. */
#define CHARACTERS_MAX 4096

const char *top_number(char text[TOP_NUMBER_MAX], double value)
{
	static const char units[] = "kMGTPE";
	const char *unit = units;

	if (isnan(value))
		return strcpy(text, "-");
	if (value < 0.05)
		return strcpy(text, "0");
	if (value < 9999.5) {
		snprintf(text, TOP_NUMBER_MAX, value < 9.95 ? "%.1f" : "%.0f", value);
		if (strcmp(text + 1, ".0") == 0)
			text[1] = '\0';
		return text;
	}
	for (value /= 1000; value >= 999.5 && unit[1]; unit++)
		value /= 1000;
	snprintf(text, TOP_NUMBER_MAX, value < 99.95 ? "%.1f%c" : "%.0f%c", fmin(value, 9999),
		 *unit);
	return text;
}

const char *top_time(char text[TOP_NUMBER_MAX], double usec)
{
	static const struct {
		double usec;
		const char *name;
	} units[] = {{86400e6, "d"}, {3600e6, "h"}, {60e6, "m"}, {1e6, "s"}, {1e3, "ms"}};

	if (isnan(usec))
		return strcpy(text, "-");
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		double value = usec / units[i].usec;
		/* 999.6 ms are 1.0 s. */
		if (value < (units[i].usec < 60e6 ? 0.9995 : 1))
			continue;
		bool fraction = units[i].usec <= 1e6 && value < 9.95;
		snprintf(text, TOP_NUMBER_MAX, fraction ? "%.1f%s" : "%.0f%s", fmin(value, 99999),
			 units[i].name);
		return text;
	}
	snprintf(text, TOP_NUMBER_MAX, "%.0fus", usec);
	return text;
}

bool top_locale_is_utf8(void)
{
	return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

/* What has no column of its own would shift, or hang on, what others wrote. */
static wchar_t harmless(wchar_t character)
{
	return wcwidth(character) > 0 ? character : L'?';
}

/* The characters of a text. */
static size_t decode(wchar_t characters[CHARACTERS_MAX], const char *from)
{
	char safe[CHARACTERS_MAX];
	size_t size = log_escape(safe, sizeof(safe), from, strlen(from)), count = 0;
	mbstate_t state = {0};

	for (size_t at = 0; at < size;) {
		wchar_t character;
		size_t length = mbrtowc(&character, safe + at, size - at, &state);

		if (length == 0 || length > size - at) {
			character = L'?';
			length = 1;
			state = (mbstate_t){0};
		}
		characters[count++] = harmless(character);
		at += length;
	}
	return count;
}

static int columns_of(const wchar_t *characters, size_t count)
{
	int columns = 0;

	for (size_t i = 0; i < count; i++)
		columns += wcwidth(characters[i]);
	return columns;
}

int top_width(const char *from)
{
	wchar_t characters[CHARACTERS_MAX];

	return columns_of(characters, decode(characters, from));
}

/* A text that is being written, and the columns that are left. */
struct writer {
	char *at;
	int left;
};

static bool put(struct writer *w, wchar_t character)
{
	mbstate_t state = {0};
	int width = wcwidth(character);

	if (width > w->left)
		return false;
	size_t length = wcrtomb(w->at, character, &state);
	if (length == (size_t)-1) {
		*w->at = '?';
		length = 1;
	}
	w->at += length;
	w->left -= width;
	return true;
}

/* How many characters at the end are at most so wide. */
static size_t tail_of(const wchar_t *characters, size_t count, int columns)
{
	size_t tail = 0;

	while (tail < count && columns >= wcwidth(characters[count - tail - 1]))
		columns -= wcwidth(characters[count - ++tail]);
	return tail;
}

static void put_elided(struct writer *w, const wchar_t *characters, size_t count,
		       enum top_elide elide)
{
	int tail_columns = elide == TOP_ELIDE_MIDDLE ? 2 * (w->left - 1) / 3 : 0;
	size_t tail = tail_of(characters, count, tail_columns);
	int kept = columns_of(characters + count - tail, tail);

	w->left -= kept + 1;
	for (size_t i = 0; i < count - tail && put(w, characters[i]); i++)
		;
	w->left += kept + 1;
	put(w, top_locale_is_utf8() ? L'\u2026' : L'~');
	for (size_t i = count - tail; i < count; i++)
		put(w, characters[i]);
}

int top_fit(char *text, int columns, const char *from, enum top_elide elide)
{
	wchar_t characters[CHARACTERS_MAX];
	size_t count = decode(characters, from);
	struct writer w = {text, columns};

	if (columns_of(characters, count) > columns && columns > 0)
		put_elided(&w, characters, count, elide);
	else
		for (size_t i = 0; i < count && put(&w, characters[i]); i++)
			;
	*w.at = '\0';
	return columns - w.left;
}

void top_curve(char *text, const float *values, int count, double most, bool utf8)
{
	static const char *const blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
	static const char *const letters[] = {"_", ".", ":", "-", "=", "+", "*", "#"};
	bool fixed = most > 0;

	for (int i = 0; i < count && !fixed; i++)
		most = fmax(most, values[i]);
	for (int i = 0; i < count; i++) {
		/* Whatever is not 0 is seen as such. */
		double part = most > 0 ? fmin(values[i] / most, 1) : 0;
		int level = values[i] > 0 ? 1 + (int)(part * 6.999) : 0;
		const char *shown = (utf8 ? blocks : letters)[level];

		text = stpcpy(text, isnan(values[i]) ? " " : shown);
	}
	*text = '\0';
}
