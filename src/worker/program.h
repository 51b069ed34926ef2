/* SPDX-License-Identifier: ISC */
/*
 * Programs that serve clients: the parts of a worker whose service has `exec`.
 *
 * The worker supervises. A child that it made ahead of the client waits in accept() and executes
 * the program on what it accepted, so that no client waits for a fork. The two share their memory
 * (as after vfork(2), but both run) and their descriptor table until then: such a child costs no
 * copy of the page tables, and what it says of its client needs no pipe.
 */
#ifndef WORKER_PROGRAM_H
#define WORKER_PROGRAM_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/log.h"
#include "worker/loop.h"

/* ---- the environment (program_environment.c) ---- */

/* The variables of one client beside those of the service. */
#define PROGRAM_VARIABLES 16

struct program_environment {
	char **list;  /* for execve(2); the service's variables come first */
	size_t fixed; /* how many those are */
	char text[4096];
};

/* Room for a client's variables behind the program's own. Allocates, for the life of the worker. */
void program_environment_init(struct program_environment *env, const struct program *program);
/*
 * The variables of a client, as tcpserver, ipcserver, xinetd and systemd name them. `type` is that
 * of the socket; `fd`, when not -1, the client's, asked for its own address and credentials.
 * Neither allocates nor sets errno: a child that shares its parent's memory may call it.
 */
void program_environment_fill(struct program_environment *env, int type, int fd,
			      const struct sockaddr *peer, socklen_t peer_len,
			      const struct sockaddr *local, socklen_t local_len, unsigned number);

/* ---- what it says on stderr (program_stderr.c) ---- */

#define PROGRAM_LINE_MAX 1024

/* Lines to somebody who logs them: cut at PROGRAM_LINE_MAX bytes with "...", at most
 * PROGRAM_LINES_PER_SECOND. */
#define PROGRAM_LINES_PER_SECOND 100

struct program_stderr {
	int read_fd, write_fd; /* a pipe; the reading end does not block. -1: none */
	size_t used;
	bool skipping; /* the rest of a line that was cut */
	uint64_t second;
	unsigned lines, suppressed; /* in that second */
	char line[PROGRAM_LINE_MAX + 1];
};

/* A line without its end, or NULL: `suppressed` lines before were too many to show. */
typedef void program_said(void *userdata, const char *line, unsigned suppressed);

/* Returns 0, or -1 with errno. */
int program_stderr_open(struct program_stderr *s);
void program_stderr_close(struct program_stderr *s);
/* Takes what there is, at most some 64 KiB. Returns true while there may be more. */
bool program_stderr_read(struct program_stderr *s, uint64_t now, program_said *said,
			 void *userdata);
/* The program has ended: what there is, its last line without an end too. */
void program_stderr_finish(struct program_stderr *s, uint64_t now, program_said *said,
			   void *userdata);

/* When that is to be asked for, or UINT64_MAX. */
uint64_t program_stderr_due(const struct program_stderr *s);
/* Says how many lines were suppressed, where their second is over; `now` UINT64_MAX: it is. */
void program_stderr_tell(struct program_stderr *s, uint64_t now, program_said *said,
			 void *userdata);

/* ---- a program that runs (program_group.c) ---- */

/*
 * How a program ended, as waitid(2) tells. All signals are blocked in a worker of programs; these
 * are read from a signalfd.
 */
struct supervisor {
	const struct worker_job *job;
	struct slot *slot;
	struct program_stderr said;
	int signals; /* a signalfd: CHLD, and what the master sends */
	int notice;  /* an eventfd: a client was taken; -1 where nobody waits for that */
	int more;    /* the caller's, which is told when it is readable; -1: none */
	bool ended;  /* pid was seen to have, and is not reaped yet */
	bool leave;  /* TERM came */
	bool quit;   /* VTALRM came: everything ends at once */
	pid_t pid;   /* the child or program, its group's number too; -1: none */
	pid_t other; /* one more child, which is not to be reaped by the way; -1: none */
};

enum supervised {
	SUPERVISED_ENDED,   /* the child or program has ended; not reaped yet */
	SUPERVISED_NOTICE,  /* the child wrote to notice */
	SUPERVISED_MORE,    /* the caller's descriptor is readable */
	SUPERVISED_LEAVE,   /* TERM came */
	SUPERVISED_END,     /* ALRM or VTALRM came: the program is to end */
	SUPERVISED_TIMEOUT, /* the deadline has passed */
};

/* Returns 0, or -1 with err. */
int supervisor_open(struct supervisor *s, const struct worker_job *job, struct error *err);
void supervisor_close(struct supervisor *s);
/* Waits for something of enum supervised, logs what the program says meanwhile. `deadline`:
 * CLOCK_MONOTONIC in microseconds, UINT64_MAX: none. */
enum supervised supervisor_wait(struct supervisor *s, uint64_t deadline);
/* Before the next child: no notice is left of the one before. */
void supervisor_forget_notice(struct supervisor *s);
/* Ends the group of s->pid, whose leader may have ended, and reaps it: TERM, KILL 2 s later. Fills
 * *info with how the leader ended. Logs the rest of what was said. */
void supervisor_end(struct supervisor *s, siginfo_t *info);
/* The outcome of the connection of a program that ended so; counts program_failures and
 * program_signals. */
enum connection_field supervisor_outcome(struct supervisor *s, const siginfo_t *info);

/* ---- the child (program_child.c) ---- */

/* What a new process does before it executes a program: its group, death with its parent, limits
 * but that of descriptors. Returns 0, or -1 with errno. */
int program_child_prepare(const struct worker_job *job, pid_t parent);
/* The limit of descriptors, and stdin, stdout, stderr; then executes. Returns only on failure, with
 * errno. */
void program_child_execute(const struct worker_job *job, int in, int out, int err_fd,
			   char *const *environment);
/*
 * clone(2) of a child that shares the caller's memory and descriptor table, on a stack of its own
 * (PROGRAM_STACK bytes), and runs `run` there. Under the sanitizers the memory is a copy.
 * The caller must not do anything that can fail or allocate until the child has executed or ended:
 * they share errno too. Returns its pid, or -1 with errno.
 */
#define PROGRAM_STACK 65536
pid_t program_clone(int (*run)(void *), void *argument, void *stack);

/* ---- the loops ---- */

/* Accept connections and serve each by a program until told to leave. Returns 0, or -1 after an
 * error that ends the worker, which was logged. */
int loop_programs(struct loop *loop);

#endif
