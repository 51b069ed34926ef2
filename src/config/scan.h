/* SPDX-License-Identifier: ISC */
/*
 * A look at a configuration file before libconfuse reads it: libconfuse 3.3 takes the end of the
 * file for the end of every open section and comment, and its lexer stays inside a string that it
 * gave up on.
 */
#ifndef CONFIG_SCAN_H
#define CONFIG_SCAN_H

/* Returns NULL, or what is wrong, with the line where that begins. Pure. */
const char *scan_syntax(const char *text, int *line);

#endif
