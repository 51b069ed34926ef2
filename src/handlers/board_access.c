/* SPDX-License-Identifier: ISC */
#include <config.h>

#include "handlers/board_access.h"

static struct board_reader own = {.lock_fd = -1};

const struct board_reader *handler_board(void)
{
	return own.master ? &own : NULL;
}

void handler_give_board(const struct master_file *master, const struct board_file *workers,
			int master_fd)
{
	own = (struct board_reader){
		.head = &master->head, .master = master, .workers = workers, .lock_fd = master_fd};
}
