/* SPDX-License-Identifier: ISC */
/*
 * Not a handler: with LD_PRELOAD it makes a machine that is short of something. $SHORTAGE names a
 * file that all processes map; while one of its numbers is not 0, those calls fail with that errno.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum shortage { ACCEPT, DESCRIPTORS, PROCESSES, SHORTAGES };

struct page {
	atomic_int errnum[SHORTAGES];
	atomic_uint failed[SHORTAGES];
};

static struct page *page;

/* Before a sandbox forbids it. */
__attribute__((constructor)) static void map_page(void)
{
	const char *path = getenv("SHORTAGE");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *map;

	if (fd < 0)
		return;
	map = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map != MAP_FAILED)
		page = map;
}

static int is_short(enum shortage of)
{
	int errnum = page ? atomic_load(&page->errnum[of]) : 0;

	if (errnum == 0)
		return 0;
	atomic_fetch_add(&page->failed[of], 1);
	errno = errnum;
	return 1;
}

/* The real one. */
#define NEXT(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

/* A child on its parent's memory calls it too. */
int accept4(int fd, struct sockaddr *addr, socklen_t *restrict len, int flags)
{
	static __typeof__(&accept4) next;

	if (!next)
		next = NEXT(accept4);
	return is_short(ACCEPT) ? -1 : next(fd, addr, len, flags);
}

int socket(int domain, int type, int protocol)
{
	return is_short(DESCRIPTORS) ? -1 : NEXT(socket)(domain, type, protocol);
}

int socketpair(int domain, int type, int protocol, int fds[2])
{
	return is_short(DESCRIPTORS) ? -1 : NEXT(socketpair)(domain, type, protocol, fds);
}

int pipe2(int pipedes[2], int flags)
{
	return is_short(DESCRIPTORS) ? -1 : NEXT(pipe2)(pipedes, flags);
}

int epoll_create1(int flags)
{
	return is_short(DESCRIPTORS) ? -1 : NEXT(epoll_create1)(flags);
}

int memfd_create(const char *name, unsigned flags)
{
	return is_short(DESCRIPTORS) ? -1 : NEXT(memfd_create)(name, flags);
}

/* Of libsystemd, which knows pidfd_open(2) by its number only. */
long syscall(long sysno, ...)
{
	va_list ap;
	long a[6];

	va_start(ap, sysno);
	for (size_t i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (sysno == SYS_pidfd_open && is_short(DESCRIPTORS))
		return -1;
	return NEXT(syscall)(sysno, a[0], a[1], a[2], a[3], a[4], a[5]);
}

pid_t fork(void)
{
	return is_short(PROCESSES) ? -1 : NEXT(fork)();
}

pid_t _Fork(void)
{
	return is_short(PROCESSES) ? -1 : NEXT(_Fork)();
}

/* Without the arguments that nobody here has. */
int clone(int (*fn)(void *arg), void *child_stack, int flags, void *arg, ...)
{
	return is_short(PROCESSES) ? -1 : NEXT(clone)(fn, child_stack, flags, arg);
}
