/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/fd.h"
#include "base/journal.h"

/* The kernel gives as much of it as it may; a burst of lines needs more than the default. */
#define SEND_BUFFER (8 * 1024 * 1024)

bool journal_is(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char *dev_end, *ino_end;
	uintmax_t dev, ino;
	struct stat st;

	/* systemd.exec(5): it stays set when somebody points the descriptor elsewhere. */
	if (!stream || fstat(fd, &st) < 0)
		return false;
	dev = strtoumax(stream, &dev_end, 10);
	if (dev_end == stream || *dev_end != ':')
		return false;
	ino = strtoumax(dev_end + 1, &ino_end, 10);
	return ino_end != dev_end + 1 && !*ino_end && st.st_dev == dev && st.st_ino == ino;
}

static int connect_to(int fd, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(address.sun_path, path);
	return connect(fd, (const struct sockaddr *)&address, sizeof(address));
}

int journal_open(const char *path)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const int size = SEND_BUFFER;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (connect_to(fd, path) < 0)
		fd_close(&fd);
	return fd;
}

static void append(struct journal_entry *entry, const void *data, size_t size)
{
	memcpy(entry->data + entry->used, data, size);
	entry->used += size;
}

void journal_add(struct journal_entry *entry, const char *key, const char *value, size_t size)
{
	size_t key_size = strlen(key);
	uint64_t size_le = htole64(size);
	bool binary = memchr(value, '\n', size) != NULL;

	if (key_size + size + sizeof(size_le) + 2 > sizeof(entry->data) - entry->used)
		return;
	append(entry, key, key_size);
	append(entry, binary ? "\n" : "=", 1);
	if (binary)
		append(entry, &size_le, sizeof(size_le));
	append(entry, value, size);
	append(entry, "\n", 1);
}

void journal_add_text(struct journal_entry *entry, const char *key, const char *value)
{
	if (value && *value)
		journal_add(entry, key, value, strlen(value));
}

void journal_add_number(struct journal_entry *entry, const char *key, uint64_t value)
{
	char digits[24];
	char *p = digits + sizeof(digits);

	do
		*--p = (char)('0' + value % 10);
	while (value /= 10);
	journal_add(entry, key, p, (size_t)(digits + sizeof(digits) - p));
}

static int send_once(int fd, const struct journal_entry *entry)
{
	return send(fd, entry->data, entry->used, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -1 : 0;
}

int journal_send(int fd, const char *path, const struct journal_entry *entry)
{
	if (send_once(fd, entry) == 0)
		return 0;
	if ((errno != ECONNREFUSED && errno != ENOTCONN) || connect_to(fd, path) < 0)
		return -1;
	return send_once(fd, entry);
}
