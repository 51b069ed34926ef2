/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#define LINE_MAX_BYTES 2048
#define UNIT_MAX       (4 * sizeof("\\xNN")) /* a character of UTF-8, every byte of it escaped */

enum style { STYLE_PREFIXED, STYLE_JOURNAL, STYLE_TERMINAL };

static struct {
	char ident[64];
	enum log_level level;
	enum style style;
	const char *subject;
	const _Atomic uint32_t *followed; /* instead of level */
} logger = {.ident = "preforkd", .level = LOG_LEVEL_INFO};

static const struct {
	const char *name;
	const char *label; /* on a terminal, which shows no priority */
	int priority;      /* of sd-daemon(3) */
} levels[] = {
	[LOG_LEVEL_ERROR] = {"error", "error: ", 3},
	[LOG_LEVEL_WARNING] = {"warning", "warning: ", 4},
	[LOG_LEVEL_NOTICE] = {"notice", "", 5},
	[LOG_LEVEL_INFO] = {"info", "", 6},
	[LOG_LEVEL_DEBUG] = {"debug", "", 7},
};
#define LEVELS (sizeof(levels) / sizeof(*levels))

void log_open(const char *ident, enum log_level level)
{
	snprintf(logger.ident, sizeof(logger.ident), "%s", ident);
	logger.level = level;
	if (isatty(STDERR_FILENO))
		logger.style = STYLE_TERMINAL;
	else if (getenv("JOURNAL_STREAM"))
		logger.style = STYLE_JOURNAL; /* journald adds the name and the pid itself */
	else
		logger.style = STYLE_PREFIXED;
}

void log_set_level(enum log_level level)
{
	logger.level = level;
}

void log_follow_level(const _Atomic uint32_t *level)
{
	logger.followed = level;
}

static bool is_wanted(enum log_level level)
{
	if (!logger.followed)
		return level <= logger.level;
	return level <= atomic_load_explicit(logger.followed, memory_order_relaxed);
}

void log_set_subject(const char *subject)
{
	logger.subject = subject;
}

int log_level_from_name(const char *name, enum log_level *level)
{
	for (size_t i = 0; i < LEVELS; i++) {
		if (strcmp(levels[i].name, name))
			continue;
		*level = (enum log_level)i;
		return 0;
	}
	return -1;
}

const char *log_level_name(enum log_level level)
{
	return (size_t)level < LEVELS ? levels[level].name : "unknown";
}

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

static size_t escape(char *text, size_t room, const void *data, size_t size, bool backslashes)
{
	const unsigned char *bytes = data;
	size_t at = 0, used = 0, safe = 0; /* safe: with room left for the dots */
	char unit[UNIT_MAX];

	if (!room)
		return 0;
	while (at < size) {
		size_t taken, length = show_unit(unit, bytes + at, size - at, backslashes, &taken);

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

static size_t put_prefix(char *text, size_t room, enum log_level level)
{
	int used = 0;

	switch (logger.style) {
	case STYLE_PREFIXED:
		used = snprintf(text, room, "<%d>%s[%d]: ", levels[level].priority, logger.ident,
				(int)getpid());
		break;
	case STYLE_JOURNAL:
		used = snprintf(text, room, "<%d>", levels[level].priority);
		break;
	case STYLE_TERMINAL:
		used = snprintf(text, room, "%s: %s", logger.ident, levels[level].label);
		break;
	}
	if (logger.subject)
		used += snprintf(text + used, room - (size_t)used, "%s: ", logger.subject);
	return (size_t)used < room ? (size_t)used : room - 1;
}

/* The text is escaped as a whole and goes out in one write, so that lines of several processes
 * neither mix nor break. Nobody could be told that it failed. Backslashes stay single: a text that
 * log_escape() made safe before must not be escaped again. */
/* A reader that has stalled must not stall us: what does not fit is lost, and said when it fits
 * again. */
static void write_line(const char *line, size_t size)
{
	static unsigned long lost;
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
	char note[64];
	int n;

	if (poll(&p, 1, 0) == 0) {
		lost++;
		return;
	}
	(void)!write(STDERR_FILENO, line, size);
	if (lost == 0)
		return;
	n = snprintf(note, sizeof(note), "%lu lines of the log were lost\n", lost);
	lost = 0;
	if (poll(&p, 1, 0) > 0)
		(void)!write(STDERR_FILENO, note, (size_t)n);
}

void log_line(enum log_level level, const char *format, ...)
{
	int saved = errno;
	char raw[LINE_MAX_BYTES], line[LINE_MAX_BYTES];
	va_list args;
	size_t used;

	if ((size_t)level >= LEVELS || !is_wanted(level))
		return;
	used = put_prefix(raw, sizeof(raw), level);
	errno = saved; /* for %m */
	va_start(args, format);
	vsnprintf(raw + used, sizeof(raw) - used, format, args);
	va_end(args);
	used = escape(line, sizeof(line) - 1, raw, strlen(raw), false);
	line[used++] = '\n';
	write_line(line, used);
	errno = saved;
}

static unsigned long long now_usec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000;
}

/*
 * The caller reads `suppressed` after a true, so it is only reset by the first false that follows.
 * The lowest bit of `next` remembers that this is still to be done; for its sake times are rounded
 * up to an even microsecond.
 */
bool log_limit_passes(struct log_limit *limit, unsigned long long interval_usec)
{
	unsigned long long now = now_usec();
	bool counted = limit->next & 1;

	if (now < (limit->next & ~1ULL)) {
		limit->suppressed = counted ? 1 : limit->suppressed + 1;
		limit->next &= ~1ULL;
		return false;
	}
	if (counted)
		limit->suppressed = 0;
	limit->next = ((now + interval_usec + 1) & ~1ULL) | 1;
	return true;
}
