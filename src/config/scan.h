/* SPDX-License-Identifier: ISC */
/*
 * A look at a configuration file before libconfuse reads it: libconfuse 3.3 takes the end of the
 * file for the end of every open section and comment, its lexer stays inside a string that it gave
 * up on, it counts the lines of comments more than once, it calls nobody for an empty list, and it
 * passes over a stray * or +.
 */
#ifndef CONFIG_SCAN_H
#define CONFIG_SCAN_H

/* The value that stands for none. */
#define SCAN_EMPTY_LIST "\001{}"

/*
 * Returns the text for libconfuse, allocated: the same lines with blanks for comments, and `KEY =
 * {}` as a list of SCAN_EMPTY_LIST. Or NULL with what is wrong, and the line where that begins.
 */
char *scan_syntax(const char *text, const char **wrong, int *line);

#endif
