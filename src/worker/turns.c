/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "worker/turns.h"

#define LEAST 2

static unsigned count_cpus(void)
{
	cpu_set_t cpus;
	long online;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		return (unsigned)CPU_COUNT(&cpus);
	/* More than a set has room for. */
	online = sysconf(_SC_NPROCESSORS_ONLN);
	return online < LEAST ? LEAST : (unsigned)online;
}

int turns_create(void)
{
	unsigned cpus = count_cpus();
	int fd = memfd_create("turns", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	/* Nobody writes to it, but only who could may lock. */
	if (fd >= 0 &&
	    (ftruncate(fd, cpus < LEAST ? LEAST : cpus) < 0 ||
	     fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_WRITE | F_SEAL_SEAL) < 0))
		fd_close(&fd);
	return fd;
}

int turns_open(struct turns *turns, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	if (st.st_size < 1) {
		errno = EINVAL;
		return -1;
	}
	*turns = (struct turns){.fd = fd, .count = (unsigned)st.st_size, .held = -1};
	return 0;
}

static int lock(const struct turns *turns, int how, short type, unsigned turn)
{
	struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = turn, .l_len = 1};

	return fcntl(turns->fd, how, &l);
}

int turns_take(struct turns *turns)
{
	/* Those who wait are spread over all of them. */
	unsigned first = (unsigned)getpid() % turns->count, turn = first;

	while (lock(turns, F_SETLK, F_WRLCK, turn) < 0) {
		turn = (turn + 1) % turns->count;
		if (turn != first)
			continue;
		if (lock(turns, F_SETLKW, F_WRLCK, turn) < 0)
			return -1;
		break;
	}
	turns->held = (int)turn;
	return 0;
}

void turns_give(struct turns *turns)
{
	if (turns->held < 0)
		return;
	lock(turns, F_SETLK, F_UNLCK, (unsigned)turns->held);
	turns->held = -1;
}
