/* SPDX-License-Identifier: ISC */
/*
 * Memory for what is loaded rarely and small (the configuration, the tables of the master): these
 * never return NULL. Without memory the process ends with EX_OSERR; a reload is first tried in a
 * child, so that a shortage there is a refused reload.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroed. */
void *mem_new(size_t count, size_t size) __attribute__((returns_nonnull, malloc));
/* Room for `count` elements; what is new is not zeroed. */
void *mem_grow(void *old, size_t count, size_t size) __attribute__((returns_nonnull));
char *mem_text(const char *text) __attribute__((returns_nonnull, malloc));
char *mem_format(const char *format, ...)
	__attribute__((returns_nonnull, malloc, format(printf, 1, 2)));
/* Whether there is so much just now: to refuse a work instead of ending in the middle of it. */
bool mem_has_room(size_t size);

#endif
