/* SPDX-License-Identifier: ISC */
/* The board of another version: the linker's --wrap leads every call here. */
#include <config.h>

#include "board/layout.h"

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker's --wrap prescribes these names. */

uint64_t __real_board_layout_hash(void);
uint64_t __wrap_board_layout_hash(void);

uint64_t __wrap_board_layout_hash(void)
{
	return __real_board_layout_hash() + 1;
}

/* NOLINTEND(bugprone-reserved-identifier) */
