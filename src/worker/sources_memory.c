/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "worker/sources_table.h"

/* Takes the descriptor over, whatever the result. */
static struct sources *map_sources(int fd)
{
	struct sources *s = mem_new(1, sizeof(*s));

	s->fd = fd;
	s->shared = mmap(NULL, sizeof(*s->shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (s->shared == MAP_FAILED) {
		fd_close(&s->fd);
		free(s);
		return NULL;
	}
	sources_hand_down(s, false);
	return s;
}

struct sources *sources_new(void)
{
	int fd = memfd_create("preforkd-sources", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct sources *s;

	if (fd < 0)
		return NULL;
	if (ftruncate(fd, sizeof(struct shared)) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		fd_close(&fd);
		return NULL;
	}
	s = map_sources(fd);
	/* Whoever knew it could come from many addresses that share a set. */
	while (s && getrandom(s->key, sizeof(s->key), 0) != (ssize_t)sizeof(s->key))
		;
	return s;
}

struct sources *sources_adopt(int fd, const uint64_t key[2])
{
	struct sources *s = NULL;
	struct stat st;

	/* Another version may keep other things. */
	if (fstat(fd, &st) < 0 || st.st_size != (off_t)sizeof(struct shared))
		fd_close(&fd);
	else
		s = map_sources(fd);
	if (s)
		memcpy(s->key, key, sizeof(s->key));
	return s;
}

int sources_descriptor(const struct sources *s, uint64_t key[2])
{
	memcpy(key, s->key, sizeof(s->key));
	return s->fd;
}

size_t sources_size(void)
{
	return sizeof(struct shared);
}

void sources_free(struct sources *s)
{
	if (!s)
		return;
	munmap(s->shared, sizeof(*s->shared));
	fd_close(&s->fd);
	free(s);
}

void sources_hand_down(struct sources *s, bool yes)
{
	madvise(s->shared, sizeof(*s->shared), yes ? MADV_DOFORK : MADV_DONTFORK);
}
