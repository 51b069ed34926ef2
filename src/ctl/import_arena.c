/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ctl/import_arena.h"

struct arena_block {
	struct arena_block *before;
	char *data;
};

static void *keep(struct arena *arena, void *data)
{
	struct arena_block *block = mem_new(1, sizeof(*block));

	block->before = arena->last;
	block->data = data;
	arena->last = block;
	return data;
}

void arena_free(struct arena *arena)
{
	while (arena->last) {
		struct arena_block *block = arena->last;

		arena->last = block->before;
		free(block->data);
		free(block);
	}
}

void *arena_take(struct arena *arena, size_t size)
{
	return keep(arena, mem_new(1, size));
}

void *arena_more(struct arena *arena, const void *from, size_t old, size_t count, size_t size)
{
	void *to = keep(arena, mem_new(count, size));

	if (old)
		memcpy(to, from, old * size);
	return to;
}

char *arena_text(struct arena *arena, const char *text)
{
	return keep(arena, mem_text(text));
}

char *arena_cut(struct arena *arena, const char *text, size_t size)
{
	char *copy = arena_take(arena, size + 1);

	memcpy(copy, text, size);
	return copy;
}

char *arena_vformat(struct arena *arena, const char *format, va_list args)
{
	va_list again;
	char *text;
	int length;

	va_copy(again, args);
	length = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (length < 0)
		return arena_text(arena, "");
	text = arena_take(arena, (size_t)length + 1);
	vsnprintf(text, (size_t)length + 1, format, args);
	return text;
}

char *arena_format(struct arena *arena, const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = arena_vformat(arena, format, args);
	va_end(args);
	return text;
}

void texts_add(struct arena *arena, struct texts *texts, const char *text)
{
	/* At every power of two. */
	if ((texts->count & (texts->count - 1)) == 0)
		texts->items = arena_more(arena, texts->items, texts->count,
					  texts->count ? 2 * texts->count : 1, sizeof(char *));
	texts->items[texts->count++] = arena_text(arena, text);
}

bool texts_have(const struct texts *texts, const char *text)
{
	for (size_t i = 0; i < texts->count; i++)
		if (strcmp(texts->items[i], text) == 0)
			return true;
	return false;
}

struct texts texts_from(const struct texts *texts, size_t first)
{
	struct texts rest = {0};

	if (first < texts->count) {
		rest.items = texts->items + first;
		rest.count = texts->count - first;
	}
	return rest;
}

char *texts_join(struct arena *arena, const struct texts *texts)
{
	size_t size = 1;
	char *joined, *end;

	for (size_t i = 0; i < texts->count; i++)
		size += strlen(texts->items[i]) + 1;
	joined = end = arena_take(arena, size);
	for (size_t i = 0; i < texts->count; i++) {
		if (i)
			*end++ = ' ';
		end = stpcpy(end, texts->items[i]);
	}
	return joined;
}

struct texts texts_split(struct arena *arena, const char *line, const char *separators)
{
	struct texts words = {0};

	for (;;) {
		size_t length;

		line += strspn(line, separators);
		length = strcspn(line, separators);
		if (length == 0)
			return words;
		texts_add(arena, &words, arena_cut(arena, line, length));
		line += length;
	}
}
