/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"

#define FIRST_ROOM 4096

void fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

int fd_write_all(int fd, const void *data, size_t size)
{
	const char *p = data;

	while (size) {
		ssize_t n = write(fd, p, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0) {
			errno = EIO; /* or this would go round for ever */
			return -1;
		}
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

static ssize_t read_some(int fd, char *data, size_t size)
{
	ssize_t n;

	do
		n = read(fd, data, size);
	while (n < 0 && errno == EINTR);
	return n;
}

/* Makes room for more, up to limit, and for a NUL behind it. */
static int grow(char **data, size_t *room, size_t limit)
{
	size_t more = *room ? *room : FIRST_ROOM;
	char *grown;

	more = *room + (more < limit - *room ? more : limit - *room);
	grown = realloc(*data, more + 1);
	if (!grown)
		return -1;
	*data = grown;
	*room = more;
	return 0;
}

/* One byte more than max is asked for: it is how "too big" shows. */
static int read_up_to(int fd, size_t max, char **data, size_t *used)
{
	size_t limit = (max < SSIZE_MAX - 2 ? max : SSIZE_MAX - 2) + 1, room = 0;

	for (;;) {
		ssize_t n;

		if (*used == room && grow(data, &room, limit))
			return -1;
		n = read_some(fd, *data + *used, room - *used);
		if (n < 0)
			return -1;
		if (n == 0)
			return 0;
		*used += (size_t)n;
		if (*used == limit) {
			errno = EFBIG;
			return -1;
		}
	}
}

char *fd_read_all(int fd, size_t max, size_t *size)
{
	char *data = NULL;
	size_t used = 0;

	if (read_up_to(fd, max, &data, &used)) {
		int saved = errno;

		free(data);
		errno = saved;
		return NULL;
	}
	data[used] = '\0';
	if (size)
		*size = used;
	return data;
}

/* The smallest descriptor to keep from `from` up, or -1. */
static int next_kept(const int *keep, size_t count, int from)
{
	int next = -1;

	for (size_t i = 0; i < count; i++)
		if (keep[i] >= from && (next < 0 || keep[i] < next))
			next = keep[i];
	return next;
}

/* Neither sorts nor allocates, for it runs between fork and exec. */
int fd_close_others(const int *keep, size_t count)
{
	int from = 3;

	for (;;) {
		int kept = next_kept(keep, count, from);

		if (kept < 0)
			return close_range((unsigned)from, UINT_MAX, 0);
		if (kept > from && close_range((unsigned)from, (unsigned)kept - 1, 0))
			return -1;
		if (kept == INT_MAX)
			return 0;
		from = kept + 1;
	}
}
