/* SPDX-License-Identifier: ISC */
#ifndef WORKER_CLOSING_H
#define WORKER_CLOSING_H

#include <stdint.h>

#define CLOSING_USEC  UINT64_C(2000000)
#define CLOSING_BYTES (1024 * 1024)

/*
 * What comes before close(2). Unread input would turn the close into a reset, and a reset can eat
 * the reply on its way. So: says that we are done, and reads what the client still sends, at most 1
 * MiB and 2 s.
 */
void close_gently(int fd);

#endif
