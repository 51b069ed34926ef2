/* SPDX-License-Identifier: ISC */
/*
 * What top knows: the board as it was at the last looks, what follows from two of them, and what
 * the user wants to see of it. No terminal, no clock, no board: snapshots and keys come in, the
 * rows to show come out.
 */
#ifndef CTL_TOP_MODEL_H
#define CTL_TOP_MODEL_H

#include "base/parse.h"
#include "ctl/ctl.h"
#include "view/rates.h"
#include "view/snapshot.h"

#define TOP_HISTORY    512 /* looks that a curve reaches back */
#define TOP_FILTER_MAX 64

enum top_view { TOP_POOLS, TOP_WORKERS, TOP_VIEWS };
enum top_mode { TOP_TABLE, TOP_HELP, TOP_SORT, TOP_FILTER };

/* Curves of a pool, or of the instance; NAN where nothing is known. */
struct top_history {
	char service[BOARD_NAME_MAX];
	char address[BOARD_ADDRESS_MAX];
	uint64_t seen;           /* the last look at which it was there */
	float rate[TOP_HISTORY]; /* rings; the look's number tells the place */
	float busy[TOP_HISTORY];
};

/* Of a pool, or of the instance: what two looks tell. NAN where it is not known. */
struct top_numbers {
	double rate;      /* connections taken, a second */
	double refused;   /* a second */
	double errors;    /* timed out and aborted, a second */
	double busy;      /* workers that serve */
	double busy_part; /* of workers_max, on average since the look before */
	double ready, max;
	double queued;
	double queue_limit;
	double p50, p90, p99, most; /* of connection time in microseconds, lately */
	double wait_p99;            /* in the queue, lately */
	double full_in;             /* seconds until every worker is busy */
	bool saturated, degraded;
	struct top_history *history; /* NULL: none */
};

struct top_order {
	int column; /* of the view's table */
	bool reverse;
};

/* Where the user is in a list. */
struct top_place {
	size_t cursor; /* row that is selected */
	size_t first;  /* row at the top of the screen */
};

struct top_model {
	/* The board. */
	bool running;
	char waiting[ERROR_TEXT_MAX]; /* for what, when it does not run */
	struct snapshot now, before;
	/* Two looks some seconds old: percentiles and trends need more than an instant. */
	struct snapshot older, newer;
	uint64_t looks;
	struct top_numbers *pools; /* of now's */
	struct top_numbers total;
	struct top_history *histories;
	uint32_t history_count;
	struct top_history instance;

	/* What is shown of it. */
	enum top_view view;
	enum top_mode mode;
	bool paused, quit;
	uint64_t interval_usec;
	struct top_order orders[TOP_VIEWS];
	struct top_place places[TOP_VIEWS];
	size_t help_first; /* line of the help at the top of the screen */
	const char *name;  /* of the instance, while no board tells it */
	int sort_cursor;
	char filters[TOP_VIEWS][TOP_FILTER_MAX];
	/* Who is selected stays so, wherever sorting puts it. */
	char service[BOARD_NAME_MAX], address[BOARD_ADDRESS_MAX];
	uint32_t pid;
	uint32_t *rows; /* indexes of now's pools or workers, in the order they are shown in */
	size_t row_count;
	size_t page; /* rows that fit on the screen */
};

/* Returns 0, or -1 with err. */
int top_model_init(struct top_model *model, const char *name, uint64_t interval_usec,
		   struct error *err);
void top_model_free(struct top_model *model);

/* A look at the board: takes the snapshot's contents over. Returns 0, or -1 with err. */
int top_model_take(struct top_model *model, struct snapshot *taken, struct error *err);
/* A look that found no board, or no master. */
void top_model_lost(struct top_model *model, const char *why);

bool top_same_pool(const struct pool_view *pool, const char *service, const char *address);

/* ---- curves (top_history.c) ---- */

void top_history_clear(struct top_history *history);
/* The next look: what is not added to it is not known. */
void top_history_begin_look(struct top_model *model);
/* That of a pool, made if it is new; tried at `hint` first. NULL: there is no room. */
struct top_history *top_history_find(struct top_model *model, const struct pool_view *pool,
				     uint32_t hint);
void top_history_add(const struct top_model *model, struct top_history *history,
		     const struct top_numbers *numbers);
/* The last `count` values of a ring, the newest last. */
void top_history_last(const struct top_model *model, const float ring[TOP_HISTORY], float *values,
		      int count);

/* ---- rows (top_rows.c) ---- */

/* Filters and sorts anew, and finds what is selected again. */
void top_rows_make(struct top_model *model);
/* Moves the selection by so many rows. */
void top_rows_move(struct top_model *model, long by);
/* So many rows fit: scrolls until the selected one is among them. */
void top_rows_fit(struct top_model *model, size_t page);
/* The pool that is selected, or whose workers are shown; -1: none. */
int top_pool_selected(const struct top_model *model);
void top_view_set(struct top_model *model, enum top_view view);

#endif
