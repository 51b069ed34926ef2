/* SPDX-License-Identifier: ISC */
/* The page for people: one look at the board as HTML, which its script then keeps up to date. */
#ifndef HANDLERS_STATUS_PAGE_H
#define HANDLERS_STATUS_PAGE_H

#include <stdio.h>

#include "view/snapshot.h"

/* What the browser may do with it: run its own script, apply its own style, ask its own server. */
extern const char page_policy[];

void page_write(const struct snapshot *snapshot, FILE *out);

/* Its parts: rows of tables, and the grids of workers. */
void page_pools(const struct snapshot *snapshot, FILE *out);
void page_grids(const struct snapshot *snapshot, FILE *out);
void page_workers(const struct snapshot *snapshot, FILE *out);
void page_ledger(const struct snapshot *snapshot, FILE *out);

#endif
