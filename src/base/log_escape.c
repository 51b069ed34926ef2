/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/log_escape.h"

#define UNIT_MAX (4 * sizeof("\\xNN")) /* a character of UTF-8, every byte of it escaped */

/* The length of the character at p, or 0 where it is not valid UTF-8 (overlong forms, surrogates
 * and what lies beyond Unicode are not). */
static size_t utf8_decode(const unsigned char *p, size_t size, uint32_t *character)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t length = p[0] < 0x80 ? 1 : p[0] < 0xc0 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	uint32_t value = p[0];

	if (!length || length > size || p[0] > 0xf4)
		return 0;
	if (length > 1)
		value &= 0x7fU >> length;
	for (size_t i = 1; i < length; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (p[i] & 0x3fU);
	}
	if (value < least[length] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
		return 0;
	*character = value;
	return length;
}

/* Characters that move, hide or reorder what a reader sees. */
static bool is_treacherous(uint32_t character)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
		{0x00, 0x1f},       {0x7f, 0x9f},     /* C0, DEL, C1 */
		{0x061c, 0x061c},   {0x200e, 0x200f}, /* marks of direction */
		{0x2028, 0x202e},   {0x2066, 0x2069}, /* separators, bidi controls */
		{0xfeff, 0xfeff},   {0xfff9, 0xfffb}, /* byte order mark, annotations */
		{0xe0000, 0xe007f},                   /* tags */
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++)
		if (character >= ranges[i].first && character <= ranges[i].last)
			return true;
	return false;
}

/* Shows the character at p in unit and says how many bytes it took. Returns the unit's length. */
static size_t show_unit(char *unit, const unsigned char *p, size_t size, bool backslashes,
			size_t *taken)
{
	uint32_t character = 0;
	size_t length = utf8_decode(p, size, &character), used = 0;

	*taken = length ? length : 1;
	if (length && !is_treacherous(character) && !(backslashes && character == '\\')) {
		memcpy(unit, p, length);
		return length;
	}
	if (length == 1 && strchr("\n\t\\", (int)character) && character) {
		unit[0] = '\\';
		unit[1] = character == '\n' ? 'n' : character == '\t' ? 't' : '\\';
		return 2;
	}
	for (size_t i = 0; i < *taken; i++)
		used += (size_t)snprintf(unit + used, UNIT_MAX - used, "\\x%02x", (unsigned)p[i]);
	return used;
}

/* Most of what is logged; the long way costs more than all the rest of a line. */
static bool is_plain(unsigned char byte)
{
	return byte >= ' ' && byte < 0x7f && byte != '\\';
}

static size_t escape(char *text, size_t room, const void *data, size_t size, bool backslashes)
{
	const unsigned char *bytes = data;
	size_t at = 0, used = 0, safe = 0; /* safe: with room left for the dots */
	char unit[UNIT_MAX];

	if (!room)
		return 0;
	while (at < size) {
		size_t taken, length;

		if (is_plain(bytes[at]) && used + 1 < room) {
			text[used++] = (char)bytes[at++];
			if (used + 3 < room)
				safe = used;
			continue;
		}
		length = show_unit(unit, bytes + at, size - at, backslashes, &taken);
		if (used + length >= room) {
			size_t dots = room - 1 - safe < 3 ? room - 1 - safe : 3;

			memset(text + safe, '.', dots);
			used = safe + dots;
			break;
		}
		memcpy(text + used, unit, length);
		used += length;
		at += taken;
		if (used + 3 < room)
			safe = used;
	}
	text[used] = '\0';
	return used;
}

size_t log_escape(char *text, size_t room, const void *data, size_t size)
{
	return escape(text, room, data, size, true);
}

size_t log_escape_line(char *text, size_t room, const void *data, size_t size)
{
	return escape(text, room, data, size, false);
}
