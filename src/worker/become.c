/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/title.h"
#include "worker/memory.h"
#include "worker/worker.h"

static int failed(struct error *err, const char *what, const char *about)
{
	return error_set(err, errno == EPERM || errno == EACCES ? EX_NOPERM : EX_OSERR, "%s %s: %s",
			 what, about, strerror(errno));
}

static int keep_own_descriptors(const struct worker_job *job, struct error *err)
{
	const int keep[] = {job->listener, job->ready, job->turns,   job->gate,       job->report,
			    job->wake,     job->board, job->answers, log_descriptor()};

	if (fd_close_others(keep, sizeof(keep) / sizeof(keep[0])) < 0)
		return failed(err, "closing", "the master's descriptors");
	return 0;
}

/* What is for programs is only made possible here, while there are rights: they set it themselves,
 * or a limit of CPU time would one day end the worker. */
static struct rlimit limit_of(const struct worker_job *job, const struct resource_limit *l)
{
	struct rlimit limit = {l->value, l->value};

	if (!job->program)
		return limit;
	getrlimit((__rlimit_resource_t)l->resource, &limit);
	if (limit.rlim_max != RLIM_INFINITY && l->value > limit.rlim_max)
		limit.rlim_max = l->value;
	return limit;
}

static int set_limits(const struct worker_job *job, struct error *err)
{
	setrlimit(RLIMIT_NOFILE, &job->nofile);
	for (size_t i = 0; i < job->limit_count; i++) {
		struct rlimit limit = limit_of(job, &job->limits[i]);

		if (setrlimit((__rlimit_resource_t)job->limits[i].resource, &limit) < 0)
			return failed(err, "setting", "a resource limit (limit_...)");
	}
	if (job->set_nice && setpriority(PRIO_PROCESS, 0, job->nice) < 0)
		return failed(err, "setting", "nice");
	return 0;
}

static int change_root(const struct worker_job *job, struct error *err)
{
	if (!job->chroot_directory)
		return 0;
	if (chroot(job->chroot_directory) < 0 || chdir("/") < 0)
		return failed(err, "chroot", job->chroot_directory);
	return 0;
}

/* Each step is checked, and the result too: a worker must never run on as root. */
static int change_user(const struct identity *who, struct error *err)
{
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid;

	if ((who->change_user || (who->change_group && geteuid() == 0)) &&
	    setgroups(who->group_count, who->groups) < 0)
		return failed(err, "changing", "supplementary groups");
	if (who->change_group && setresgid(who->gid, who->gid, who->gid) < 0)
		return failed(err, "changing", "group");
	if (who->change_user && setresuid(who->uid, who->uid, who->uid) < 0)
		return failed(err, "changing", "user");
	if (who->change_user && (getresuid(&ruid, &euid, &suid) < 0 || ruid != who->uid ||
				 euid != who->uid || suid != who->uid))
		return error_set(err, EX_OSERR, "the user did not change");
	if (who->change_group && (getresgid(&rgid, &egid, &sgid) < 0 || rgid != who->gid ||
				  egid != who->gid || sgid != who->gid))
		return error_set(err, EX_OSERR, "the group did not change");
	return 0;
}

static int die_with_parent(const struct worker_job *job, struct error *err)
{
	/* After the change of user, which clears it. Not KILL: a client that is being served is
	 * served. */
	if (prctl(PR_SET_PDEATHSIG, job->death_signal) < 0)
		return failed(err, "setting", "the parent-death signal");
	if (getppid() != job->master)
		return error_set(err, EX_TEMPFAIL, "the master is gone");
	return 0;
}

int worker_change(const struct worker_job *job, struct error *err)
{
	if (set_limits(job, err) < 0 || change_root(job, err) < 0 ||
	    change_user(&job->identity, err) < 0 || die_with_parent(job, err) < 0)
		return -1;
	umask(job->umask);
	if (chdir(job->directory ? job->directory : "/") < 0)
		return failed(err, "directory", job->directory ? job->directory : "/");
	if (job->sandbox != SANDBOX_OFF && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return failed(err, "setting", "no_new_privs");
	return 0;
}

/* Without a session of its own: the kernel's autogroup would share the CPU out by sessions, which
 * costs a short connection 7 %. */
void worker_leave_terminal(void)
{
	int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd >= 0)
		ioctl(fd, TIOCNOTTY);
	fd_close(&fd);
}

int worker_become(const struct worker_job *job, struct error *err)
{
	if (setpgid(0, 0) < 0)
		return failed(err, "making", "a process group");
	if (job->program)
		worker_leave_terminal();
	title_set(job->title);
	if (keep_own_descriptors(job, err) < 0)
		return -1;
	if (job->recycle_memory)
		memory_open();
	return worker_change(job, err);
}
