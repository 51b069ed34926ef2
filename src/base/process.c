/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/process.h"

/* The letters of /proc/PID/stat. */
static const char *name(char state)
{
	switch (state) {
	case 'R':
		return "was at work";
	case 'S':
	case 'I':
		return "was waiting";
	case 'D':
		return "was held up in the kernel";
	case 'T':
	case 't':
		return "was stopped";
	case 'Z':
	case 'X':
		return "had ended";
	default:
		return NULL;
	}
}

const char *process_stat(pid_t pid, char text[PROCESS_STAT_MAX])
{
	char path[64], *p;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	n = read(fd, text, PROCESS_STAT_MAX - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	/* The name may hold spaces and brackets: its end is the last one. */
	p = strrchr(text, ')');
	return p && p[1] == ' ' ? p + 2 : NULL;
}

const char *process_doing(pid_t pid)
{
	char text[PROCESS_STAT_MAX];
	const char *fields = process_stat(pid, text);

	return fields ? name(*fields) : NULL;
}

bool process_is_stopped(pid_t child)
{
	siginfo_t info = {.si_pid = 0};

	/* Of a child of another user the kernel tells this even where /proc hides it. */
	return waitid(P_PID, (id_t)child, &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid == child;
}
