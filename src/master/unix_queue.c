/* SPDX-License-Identifier: ISC */
/* The length of a Unix listener's queue, which no call on the socket tells. */
#include <config.h>

#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/socket_diag.h"
#include "master/unix_queue.h"

int unix_queue(int fd, int *limit)
{
	struct socket_queue queue = {0};
	struct stat st;
	int diag = socket_diag_open(), length = -1;

	if (diag < 0)
		return -1;
	if (fstat(fd, &st) == 0) {
		queue.inode = (uint32_t)st.st_ino;
		if (socket_diag_unix(diag, &queue) == 0)
			length = (int)queue.length;
	}
	close(diag);
	if (length >= 0 && limit)
		*limit = (int)queue.limit;
	return length;
}
