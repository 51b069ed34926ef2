/* SPDX-License-Identifier: ISC */
/* Messages of clients and lines of programs on their way into the log. */
#include <config.h>

#include <locale.h>
#include <stdbool.h>
#include <string.h>
#include <wchar.h>

#include "base/log.h"
#include "base/log_escape.h"
#include "fuzz.h"

/* What would start a line, or show another text than there is. */
static bool is_safe(wchar_t c)
{
	return c >= 0x20 && (c < 0x7f || c > 0x9f) && c != 0x061c && c != 0x200e && c != 0x200f &&
	       (c < 0x2028 || c > 0x202e) && (c < 0x2066 || c > 0x2069) && c != 0xfeff &&
	       (c < 0xfff9 || c > 0xfffb) && (c < 0xe0000 || c > 0xe007f);
}

static void check_text(const char *text, size_t length, size_t room)
{
	mbstate_t state = {0};
	size_t n;

	CHECK(length < room && strlen(text) == length);
	for (const char *p = text; *p; p += n) {
		wchar_t c;

		n = mbrtowc(&c, p, length - (size_t)(p - text), &state);
		CHECK(n > 0 && n <= 4 && is_safe(c));
	}
}

static unsigned nibble(char digit)
{
	return (unsigned)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

/* The byte that begins at *p. */
static unsigned char unescape(const char **p)
{
	const char *t = *p;

	*p += t[0] != '\\' ? 1 : t[1] != 'x' ? 2 : 4;
	if (t[0] != '\\')
		return (unsigned char)t[0];
	if (t[1] == 'x')
		return (unsigned char)(nibble(t[2]) << 4 | nibble(t[3]));
	CHECK(strchr("nt\\", t[1]));
	return t[1] == 'n' ? '\n' : t[1] == 't' ? '\t' : '\\';
}

/* Nothing is lost where there is room. */
static void check_same(const char *text, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		CHECK(*text);
		CHECK(unescape(&text) == data[i]);
	}
	CHECK(!*text);
}

static void try_room(const uint8_t *data, size_t size, size_t room)
{
	char *text = malloc(room);

	CHECK(text);
	check_text(text, log_escape(text, room, data, size), room);
	if (room > 4 * size)
		check_same(text, data, size);
	check_text(text, log_escape_line(text, room, data, size), room);
	free(text);
}

/* The first byte says how much room is missing. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t missing = size > 0 ? data[0] : 0;

	CHECK(setlocale(LC_CTYPE, "C.UTF-8"));
	if (size > 0) {
		data++;
		size--;
	}
	try_room(data, size, 4 * size + 1);
	try_room(data, size, missing < 4 * size ? 4 * size + 1 - missing : 1);
	try_room(data, size, missing % 16 + 1);
	return 0;
}
