/* SPDX-License-Identifier: ISC */
/* The lines of a state on their way into the new binary's tables. */
#ifndef MASTER_STATE_LINES_H
#define MASTER_STATE_LINES_H

#include "master/crew.h"
#include "master/state.h"

struct state {
	struct master *m;
	struct listener **listeners; /* each once; its users are its pools */
	size_t listener_count;
	struct listener **next; /* those of the next pool */
	size_t next_count;
	struct crew *crew; /* of the last line */
	struct copy *copy; /* that of the next worker */
	bool other_layout; /* the board is new: slots of before mean nothing */
	bool complete;
	bool *pools, *slots; /* claimed */
	int old_board[3];
	char version[BOARD_NAME_MAX];
};

/* What follows the first word of a line. Each returns 0, or -1: it makes no sense. */
int state_take_listener(struct state *s, const char *line);
int state_take_crew(struct state *s, const char *line);
int state_take_acceptor(struct state *s, const char *line);
int state_take_copy(struct state *s, const char *line);
int state_take_worker(struct state *s, const char *line);

#endif
