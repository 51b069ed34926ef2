/* SPDX-License-Identifier: ISC */
#ifndef MASTER_UNIX_QUEUE_H
#define MASTER_UNIX_QUEUE_H

/* How many clients wait at a Unix listener, or -1 where the kernel does not tell. *limit: how many
 * may; NULL: not asked. */
int unix_queue(int fd, int *limit);

#endif
