/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "worker/sandbox.h"

#if defined(HAVE_SECCOMP) && !defined(WITH_SANITIZERS)
#include <seccomp.h>

static struct sock_fprog filter;

static const int allowed[] = {
	/* clients */
	SCMP_SYS(accept4),
	SCMP_SYS(recvmsg),
	SCMP_SYS(recvfrom),
	SCMP_SYS(read),
	SCMP_SYS(readv),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(pwritev2),
	SCMP_SYS(shutdown),
	SCMP_SYS(close),
	SCMP_SYS(setsockopt),
	SCMP_SYS(getsockopt),
	SCMP_SYS(getsockname),
	SCMP_SYS(getpeername),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait), /* its other name */
	/* the stop */
	SCMP_SYS(dup),
	SCMP_SYS(dup2),
	SCMP_SYS(dup3),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(exit_group),
	SCMP_SYS(exit),
	/* time and chance */
	SCMP_SYS(clock_gettime),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),
	SCMP_SYS(timer_create),
	SCMP_SYS(timer_settime),
	SCMP_SYS(getrandom),
	/* memory, the log, the C library */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(lseek),
	SCMP_SYS(fcntl),
};

/* Memory, but none that could be executed. */
static int allow_memory(scmp_filter_ctx ctx)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
}

static int build(scmp_filter_ctx ctx, int fd)
{
	int r;

	/* A tree: the kernel tries every system call when it is installed, which takes half as long
	 * then. Libraries that know of none make a list. */
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	r = allow_memory(ctx);
	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]) && r == 0; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	return r == 0 ? seccomp_export_bpf(ctx, fd) : r;
}

static int read_filter(int fd)
{
	struct stat st;
	void *code;

	if (fstat(fd, &st) < 0)
		return -errno;
	code = mem_new((size_t)st.st_size, 1);
	if (pread(fd, code, (size_t)st.st_size, 0) != (ssize_t)st.st_size)
		return -EIO;
	filter = (struct sock_fprog){
		.len = (unsigned short)((size_t)st.st_size / sizeof(struct sock_filter)),
		.filter = code,
	};
	return 0;
}

int sandbox_prepare(struct error *err)
{
	scmp_filter_ctx ctx;
	int fd, r;

	if (filter.filter)
		return 0;
	ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	fd = memfd_create("sandbox", MFD_CLOEXEC);
	r = ctx && fd >= 0 ? build(ctx, fd) : -ENOMEM;
	if (r == 0)
		r = read_filter(fd);
	if (ctx)
		seccomp_release(ctx);
	fd_close(&fd);
	return r == 0 ? 0 : error_set(err, EX_OSERR, "sandbox: %s", strerror(-r));
}

int sandbox_enter(struct error *err)
{
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) < 0)
		return error_set(err, EX_OSERR, "sandbox: seccomp: %s", strerror(errno));
	return 0;
}

#else /* the configuration offers no strict, or the sanitizers' runtime needs more than it allows \
       */

int sandbox_prepare(struct error *err)
{
	(void)err;
	return 0;
}

int sandbox_enter(struct error *err)
{
	(void)err;
	return 0;
}

#endif
