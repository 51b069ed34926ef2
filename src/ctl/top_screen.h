/* SPDX-License-Identifier: ISC */
/* What top's screen says: the model, put into the lines of a canvas. */
#ifndef CTL_TOP_SCREEN_H
#define CTL_TOP_SCREEN_H

#include "ctl/top_canvas.h"
#include "ctl/top_model.h"

/* Fills the canvas, whatever its size; scrolls the model's lists to what fits. */
void top_screen(struct top_model *model, struct top_canvas *canvas);
/* The same for a file, without what is a terminal's, and the height that has room for all rows. */
void top_batch(struct top_model *model, struct top_canvas *canvas);
int top_batch_height(const struct top_model *model);

/* ---- parts ---- */

/* Each fills `height` lines, or those that there are. top_table.c: */
void top_table(struct top_model *model, struct top_canvas *canvas, int height);
/* A curve of the last values of a ring, `columns` wide; most: as for top_curve(). */
void top_add_curve(const struct top_model *model, const struct top_canvas *canvas,
		   struct top_line *line, const float *ring, int columns, double most);
/* top_panel.c: about the selected pool */
#define TOP_PANEL_HEIGHT 4
void top_panel(const struct top_model *model, struct top_canvas *canvas);
/* top_help.c: the keys, the columns to sort by, the last line of the screen */
void top_help(struct top_model *model, struct top_canvas *canvas, int height);
void top_sort_menu(const struct top_model *model, struct top_canvas *canvas, int height);
void top_foot(const struct top_model *model, struct top_canvas *canvas);

#endif
