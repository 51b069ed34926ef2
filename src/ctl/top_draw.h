/* SPDX-License-Identifier: ISC */
/* The terminal of top: the only user of ncurses' functions. */
#ifndef CTL_TOP_DRAW_H
#define CTL_TOP_DRAW_H

#include "base/error.h"
#include "ctl/top_canvas.h"

/* Takes the terminal of stdin and stdout over. Returns 0, or -1 with err: EX_USAGE when there is
 * none. */
int top_terminal_open(struct error *err);
/* Gives it back as it was, for good or until top_terminal_resume(). */
void top_terminal_close(void);
/* Takes it over again, with the size it has by now, and draws all of it at the next time. */
void top_terminal_resume(void);
void top_terminal_size(int *height, int *width);
void top_terminal_draw(const struct top_canvas *canvas);
/* The next key that was pressed, as top_press() wants it; 0: none. */
int top_terminal_key(void);

#endif
