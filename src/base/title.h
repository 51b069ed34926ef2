/* SPDX-License-Identifier: ISC */
/* The name that ps(1) and top(1) show. */
#ifndef BASE_TITLE_H
#define BASE_TITLE_H

/* Once, early in main: moves the environment away from behind argv to make room. */
void title_init(int argc, char **argv);
/* Sets the command line that ps shows; its first 15 bytes become the name of the thread. */
void title_set(const char *text);

#endif
