/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log_escape.h"
#include "worker/program.h"

#define READ_ONCE 65536

int program_stderr_open(struct program_stderr *s)
{
	int fds[2];

	*s = (struct program_stderr){.read_fd = -1, .write_fd = -1};
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	s->read_fd = fds[0];
	s->write_fd = fds[1];
	/* Of a pipe each end has flags of its own: the program's end blocks. */
	return fcntl(s->read_fd, F_SETFL, O_NONBLOCK);
}

void program_stderr_close(struct program_stderr *s)
{
	fd_close(&s->read_fd);
	fd_close(&s->write_fd);
}

/* A new second: who waited for the end of a flood is told of it. */
static void begin_second(struct program_stderr *s, uint64_t now, program_said *said, void *userdata)
{
	if (s->lines > 0 && now - s->second < 1000000)
		return;
	if (s->suppressed)
		said(userdata, NULL, s->suppressed);
	s->second = now;
	s->lines = s->suppressed = 0;
}

static void put_line(struct program_stderr *s, const char *end, uint64_t now, program_said *said,
		     void *userdata)
{
	char text[4 * PROGRAM_LINE_MAX + 8];
	size_t used = log_escape_line(text, sizeof(text) - 4, s->line, s->used);

	s->used = 0;
	begin_second(s, now, said, userdata);
	s->lines++;
	if (s->lines > PROGRAM_LINES_PER_SECOND) {
		s->suppressed++;
		return;
	}
	memcpy(text + used, end, strlen(end) + 1);
	said(userdata, text, 0);
}

/* Room for one more than is shown: only then is the line cut. */
static void take(struct program_stderr *s, char c, uint64_t now, program_said *said, void *userdata)
{
	if (c == '\n') {
		/* One that CGI programs and DOS like. */
		if (s->used > 0 && s->line[s->used - 1] == '\r')
			s->used--;
		if (!s->skipping)
			put_line(s, "", now, said, userdata);
		s->skipping = false;
		return;
	}
	if (s->skipping)
		return;
	if (s->used > PROGRAM_LINE_MAX || (s->used == PROGRAM_LINE_MAX && c != '\r')) {
		s->used = PROGRAM_LINE_MAX;
		put_line(s, "...", now, said, userdata);
		s->skipping = true;
		return;
	}
	s->line[s->used++] = c;
}

bool program_stderr_read(struct program_stderr *s, uint64_t now, program_said *said, void *userdata)
{
	char bytes[4096];
	size_t total = 0;
	ssize_t n;

	while (total < READ_ONCE) {
		n = read(s->read_fd, bytes, sizeof(bytes));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		for (ssize_t i = 0; i < n; i++)
			take(s, bytes[i], now, said, userdata);
		total += (size_t)n;
		if ((size_t)n < sizeof(bytes))
			return false;
	}
	return true;
}

void program_stderr_finish(struct program_stderr *s, uint64_t now, program_said *said,
			   void *userdata)
{
	/* What a process that left the group goes on writing belongs to nobody. */
	program_stderr_read(s, now, said, userdata);
	if (s->used > 0 && !s->skipping)
		put_line(s, "", now, said, userdata);
	s->skipping = false;
	/* The next program has the same end of the pipe, and expects that it blocks. */
	if (s->write_fd >= 0)
		fcntl(s->write_fd, F_SETFL, 0);
	/* Of a flood once a second at most, however many programs make it. */
	program_stderr_tell(s, now, said, userdata);
}

uint64_t program_stderr_due(const struct program_stderr *s)
{
	return s->suppressed ? s->second + 1000000 : UINT64_MAX;
}

void program_stderr_tell(struct program_stderr *s, uint64_t now, program_said *said, void *userdata)
{
	if (!s->suppressed || (now != UINT64_MAX && now - s->second < 1000000))
		return;
	said(userdata, NULL, s->suppressed);
	s->suppressed = 0;
}
