/* SPDX-License-Identifier: ISC */
/* Memory that is freed all at once: texts that are cut, joined and kept until all is printed. None
 * of these returns NULL; without memory the process ends with EX_OSERR. */
#ifndef CTL_IMPORT_ARENA_H
#define CTL_IMPORT_ARENA_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct arena_block;

/* Zeroed is empty. */
struct arena {
	struct arena_block *last;
};

void arena_free(struct arena *arena);
/* Zeroed. */
void *arena_take(struct arena *arena, size_t size) __attribute__((returns_nonnull));
/* A copy with room for `count` elements, of which there were `old`; what is new is zeroed. */
void *arena_more(struct arena *arena, const void *from, size_t old, size_t count, size_t size)
	__attribute__((returns_nonnull));
char *arena_text(struct arena *arena, const char *text) __attribute__((returns_nonnull));
/* The first size bytes. */
char *arena_cut(struct arena *arena, const char *text, size_t size)
	__attribute__((returns_nonnull));
char *arena_format(struct arena *arena, const char *format, ...)
	__attribute__((returns_nonnull, format(printf, 2, 3)));
char *arena_vformat(struct arena *arena, const char *format, va_list args)
	__attribute__((returns_nonnull, format(printf, 2, 0)));

/* A list of texts; zeroed is empty. */
struct texts {
	char **items;
	size_t count;
};

void texts_add(struct arena *arena, struct texts *texts, const char *text);
bool texts_have(const struct texts *texts, const char *text);
/* Those from `first` on, in the same memory: not to be added to. */
struct texts texts_from(const struct texts *texts, size_t first);
/* With a blank between two. */
char *texts_join(struct arena *arena, const struct texts *texts);
/* The words of a line; a word ends at any of the separators. */
struct texts texts_split(struct arena *arena, const char *line, const char *separators);

#endif
