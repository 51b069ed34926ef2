/* SPDX-License-Identifier: ISC */
/* Descriptors. */
#ifndef BASE_FD_H
#define BASE_FD_H

#include <stddef.h>
#include <sys/types.h>

/* Closes *fd if it is open and sets it to -1; errno is kept. For `__attribute__((cleanup))` too. */
void fd_close(int *fd);
/* All of it, again after EINTR and short writes. Returns 0, or -1 with errno. */
int fd_write_all(int fd, const void *data, size_t size);
/* Reads to the end of file, at most max bytes (EFBIG beyond). Allocated, NUL-terminated; NULL with
 * errno. */
char *fd_read_all(int fd, size_t max, size_t *size);
/* Closes every descriptor from 3 up but the `count` in keep; negative ones are passed over.
 * close_range(2). */
int fd_close_others(const int *keep, size_t count);

#endif
