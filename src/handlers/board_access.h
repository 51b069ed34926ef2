/* SPDX-License-Identifier: ISC */
/* The board of the instance, for handlers that show it. */
#ifndef HANDLERS_BOARD_ACCESS_H
#define HANDLERS_BOARD_ACCESS_H

#include "board/read.h"

/* In a worker, from its enter() on; NULL in the master. */
const struct board_reader *handler_board(void);

/* For the worker: both files as it has them mapped, and a descriptor of `master`. */
void handler_give_board(const struct master_file *master, const struct board_file *workers,
			int master_fd);

#endif
