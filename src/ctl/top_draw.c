/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <curses.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sysexits.h>
#include <termcap.h>
#include <unistd.h>

#include "ctl/top_draw.h"
#include "ctl/top_keys.h"

/* How long an Esc may be the begin of another key, in milliseconds. */
#define ESCAPE_DELAY 25

/* Foreground and background, -1: the terminal's own. Nothing is told by colour alone. */
static const struct look {
	short ink, paper;
	attr_t coloured, plain;
} looks[TOP_STYLES] = {
	[TOP_PLAIN] = {-1, -1, A_NORMAL, A_NORMAL},
	[TOP_DIM] = {-1, -1, A_DIM, A_NORMAL},
	[TOP_TITLE] = {-1, -1, A_BOLD, A_BOLD},
	[TOP_GOOD] = {COLOR_GREEN, -1, A_BOLD, A_BOLD},
	[TOP_FULL] = {COLOR_YELLOW, -1, A_BOLD, A_BOLD},
	[TOP_DEGRADED] = {COLOR_RED, -1, A_BOLD, A_BOLD | A_UNDERLINE},
	[TOP_CURVE] = {COLOR_CYAN, -1, A_NORMAL, A_NORMAL},
	[TOP_HEADER] = {COLOR_BLACK, COLOR_GREEN, A_NORMAL, A_REVERSE},
	[TOP_SORTED] = {COLOR_BLACK, COLOR_CYAN, A_NORMAL, A_REVERSE | A_BOLD},
	[TOP_KEY] = {COLOR_CYAN, -1, A_BOLD, A_BOLD},
};

static bool colours_wanted(void)
{
	const char *no = getenv("NO_COLOR");

	return has_colors() && !(no && *no);
}

static void make_colours(void)
{
	if (!colours_wanted() || start_color() == ERR)
		return;
	bool own = use_default_colors() == OK;

	for (int i = 0; i < TOP_STYLES; i++) {
		short ink = looks[i].ink, paper = looks[i].paper;

		if (!own && ink < 0)
			ink = COLOR_WHITE;
		if (!own && paper < 0)
			paper = COLOR_BLACK;
		init_pair((short)(i + 1), ink, paper);
	}
}

/* curses knows of colours only once start_color() was called: COLORS is 0 until then. */
static attr_t attributes(unsigned style)
{
	unsigned kind = style & ~(unsigned)TOP_SELECTED;
	attr_t attr = COLORS > 0 ? looks[kind].coloured | (attr_t)COLOR_PAIR(kind + 1)
				 : looks[kind].plain;

	return style & TOP_SELECTED ? (attr & ~(attr_t)A_DIM) | A_REVERSE : attr;
}

static int check_terminal(struct error *err)
{
	const char *term = getenv("TERM");

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return error_set(err, EX_USAGE,
				 "top needs a terminal; --batch prints plain text without one");
	if (!term || !*term)
		return error_set(err, EX_USAGE, "top: TERM is not set: which terminal is this?");
	return 0;
}

int top_terminal_open(struct error *err)
{
	if (check_terminal(err) < 0)
		return -1;
	/* newterm() leaves the terminal changed when it fails, and takes one for dumb. */
	if (tgetent(NULL, getenv("TERM")) != 1 || !tigetstr("cup"))
		return error_set(err, EX_USAGE,
				 "top: TERM \"%s\": unknown, or it cannot move its cursor; "
				 "--batch prints plain text",
				 getenv("TERM"));
	if (!newterm(NULL, stdout, stdin))
		return error_set(err, EX_OSERR, "top: the terminal cannot be used");
	cbreak();
	noecho();
	nonl();
	intrflush(stdscr, FALSE);
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	set_escdelay(ESCAPE_DELAY);
	curs_set(0);
	make_colours();
	return 0;
}

void top_terminal_close(void)
{
	/* Where the screen stays as it is, what comes next is written to its last line. */
	move(LINES - 1, 0);
	clrtoeol();
	refresh();
	endwin();
}

void top_terminal_resume(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0)
		resizeterm(size.ws_row, size.ws_col);
	reset_prog_mode();
	clearok(stdscr, TRUE);
	curs_set(0);
}

void top_terminal_size(int *height, int *width)
{
	getmaxyx(stdscr, *height, *width);
}

static void draw_line(int y, const struct top_line *line)
{
	for (int i = 0; i < line->span_count; i++) {
		const struct top_span *span = &line->spans[i];

		attrset((int)attributes(span->style));
		mvaddnstr(y, span->column, line->text + span->begin,
			  (int)(span->end - span->begin));
	}
}

void top_terminal_draw(const struct top_canvas *canvas)
{
	erase();
	for (int y = 0; y < canvas->height; y++)
		draw_line(y, &canvas->lines[y]);
	attrset(A_NORMAL);
	refresh();
}

int top_terminal_key(void)
{
	wint_t character;
	int result = get_wch(&character);

	if (result == ERR)
		return 0;
	return result == KEY_CODE_YES ? TOP_SPECIAL((int)character) : (int)character;
}
