/* SPDX-License-Identifier: ISC */
/* A journald for the tests: a socket in a directory of its own, and what came there. */
#ifndef TEST_BASE_JOURNAL_H
#define TEST_BASE_JOURNAL_H

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct journald {
	int fd;
	char path[64];
	char entry[8192]; /* the last one received */
	size_t size;
};

static inline void journald_listen(struct journald *j)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	j->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	strcpy(address.sun_path, j->path);
	unlink(j->path);
	ck_assert_int_eq(bind(j->fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

static inline void journald_start(struct journald *j)
{
	char directory[] = "/tmp/journal.XXXXXX";

	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(j->path, sizeof(j->path), "%s/socket", directory);
	journald_listen(j);
}

static inline void journald_end(struct journald *j)
{
	close(j->fd);
	unlink(j->path);
	*strrchr(j->path, '/') = '\0';
	rmdir(j->path);
}

/* The next entry, or false when there is none. */
static inline bool journald_take(struct journald *j)
{
	ssize_t n = recv(j->fd, j->entry, sizeof(j->entry) - 1, MSG_DONTWAIT);

	j->size = n < 0 ? 0 : (size_t)n;
	j->entry[j->size] = '\0';
	return n >= 0;
}

/* The value of a field of the last entry, as the protocol says: to the end of the line, or as many
 * bytes as stand before it. NULL: it is not there. */
static inline const char *journald_field(const struct journald *j, const char *key)
{
	static char value[8192];
	const char *p = j->entry, *end = j->entry + j->size;
	size_t length = strlen(key);

	while (p < end) {
		size_t name = strcspn(p, "=\n");
		uint64_t size;

		ck_assert_uint_gt(name, 0);
		if (p[name] == '=') {
			size = strcspn(p + name + 1, "\n");
			memcpy(value, p + name + 1, size);
			value[size] = '\0';
			if (name == length && !memcmp(p, key, name))
				return value;
			p += name + 1 + size + 1;
			continue;
		}
		memcpy(&size, p + name + 1, sizeof(size));
		ck_assert_uint_lt(size, sizeof(value));
		memcpy(value, p + name + 1 + sizeof(size), size);
		value[size] = '\0';
		if (name == length && !memcmp(p, key, name))
			return value;
		p += name + 1 + sizeof(size) + size;
		ck_assert_int_eq(*p++, '\n');
	}
	ck_assert_ptr_eq(p, end);
	return NULL;
}

static inline void journald_expect(const struct journald *j, const char *key, const char *want)
{
	const char *found = journald_field(j, key);

	if (!want) {
		ck_assert_msg(!found, "%s=%s", key, found ? found : "");
		return;
	}
	ck_assert_msg(found != NULL, "no %s in \"%s\"", key, j->entry);
	ck_assert_str_eq(found, want);
}

#endif
