/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "master/copy.h"
#include "master/crew.h"
#include "master/passed.h"
#include "master/state_lines.h"

/* ---- lines ---- */

/* What another preforkd wrote is in range. */
/* NOLINTBEGIN(cert-err34-c) */

static int take_version(struct state *s, const char *line)
{
	return sscanf(line, "%63s", s->version) == 1 ? 0 : -1;
}

static int take_nofile(struct state *s, const char *line)
{
	uint64_t now, most;

	if (sscanf(line, "%" SCNu64 " %" SCNu64, &now, &most) != 2)
		return -1;
	s->m->nofile = (struct rlimit){.rlim_cur = (rlim_t)now, .rlim_max = (rlim_t)most};
	return 0;
}

static int take_generation(struct state *s, const char *line)
{
	return sscanf(line, "%u", &s->m->generation) == 1 ? 0 : -1;
}

static int take_log_level(struct state *s, const char *line)
{
	if (sscanf(line, "%u", &s->m->log_level) != 1)
		return -1;
	log_set_level((enum log_level)s->m->log_level);
	return 0;
}

/* Until a load succeeds, which may be never. */
static int take_exit_idle(struct state *s, const char *line)
{
	return sscanf(line, "%" SCNu64, &s->m->exit_idle) == 1 ? 0 : -1;
}

static int take_again(struct state *s, const char *line)
{
	int reload, upgrade;

	if (sscanf(line, "%d %d", &reload, &upgrade) != 2)
		return -1;
	s->m->reload_again = reload != 0;
	s->m->upgrade_again = upgrade != 0;
	return 0;
}

static int take_answers(struct state *s, const char *line)
{
	int *answers = s->m->answers;

	if (sscanf(line, "%d %d", &answers[0], &answers[1]) != 2)
		return -1;
	for (int i = 0; i < 2 && answers[i] >= 0; i++)
		fcntl(answers[i], F_SETFD, FD_CLOEXEC);
	return 0;
}

static int take_board(struct state *s, const char *line)
{
	struct error err = {0};
	struct master *m = s->m;
	char room[4096];
	const char *directory = master_directory(m, room, sizeof(room), &err);
	int *fds = s->old_board, result = -1;

	if (sscanf(line, "%d %d %d", &fds[0], &fds[1], &fds[2]) != 3)
		return -1;
	if (directory)
		result = board_adopt(&m->board, directory, fds[0], fds[1], fds[2], &err);
	if (result < 0)
		log_error("%s; a new board", err.text);
	if (result == 1)
		return 0;
	s->other_layout = true;
	if (result == 0)
		log_notice("the board has another layout in this version: a new one, whose "
			   "counters begin anew");
	if (!directory || board_create(&m->board, directory, m->options->instance, &err) < 0) {
		log_error("%s", err.text);
		return -1;
	}
	for (int i = 0; i < 3; i++)
		fd_close(&fds[i]);
	return 0;
}

/* Who waits for it since the old board. */
static int take_verdict(struct state *s, const char *line)
{
	uint32_t number;

	if (sscanf(line, "%" SCNu32, &number) != 1)
		return -1;
	if (s->other_layout)
		board_verdict_resume(&s->m->board, VERDICT_UPGRADE, number);
	return 0;
}

static int take_passed(struct state *s, const char *line)
{
	char name[256] = "";
	int fd;

	/* systemd allows spaces in it. */
	if (sscanf(line, "%d%*1[ ]%255[^\n]", &fd, name) < 1)
		return -1;
	passed_add(&s->m->passed, fd, name);
	return 0;
}

static int take_sources(struct state *s, const char *line)
{
	return admission_take(s->m, line);
}

static int take_end(struct state *s, const char *line)
{
	(void)line;
	s->complete = true;
	return 0;
}

static const struct {
	const char *word;
	int (*take)(struct state *s, const char *line);
} lines[] = {
	{"version ", take_version},
	{"nofile ", take_nofile},
	{"generation ", take_generation},
	{"log_level ", take_log_level},
	{"exit_idle ", take_exit_idle},
	{"again ", take_again},
	{"answers ", take_answers},
	{"board ", take_board},
	{"verdict ", take_verdict},
	{"passed ", take_passed},
	{"listener ", state_take_listener},
	{"crew ", state_take_crew},
	{"acceptor ", state_take_acceptor},
	{"copy ", state_take_copy},
	{"worker ", state_take_worker},
	{"sources ", take_sources},
	{"end", take_end},
};

static int take_line(struct state *s, const char *line)
{
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		if (strncmp(line, lines[i].word, strlen(lines[i].word)) == 0)
			return lines[i].take(s, line + strlen(lines[i].word));
	return 0;
}

/* ---- all ---- */

static int take_lines(struct state *s, FILE *in, struct error *err)
{
	char *line = NULL;
	size_t room = 0;
	int status = 0;

	while (status == 0 && getline(&line, &room, in) > 0)
		if (take_line(s, line) < 0)
			status = error_set(err, EX_SOFTWARE, "upgrade: the state of before: %s",
					   line);
	free(line);
	if (status == 0 && !s->complete)
		status = error_set(err, EX_SOFTWARE, "upgrade: the state of before is cut off");
	return status;
}

/* What the old binary left half done. */
static void release_unclaimed(struct state *s)
{
	board_slots_release_unclaimed(&s->m->board, s->slots);
	board_pools_release_unclaimed(&s->m->board, s->pools);
}

static FILE *open_state(int fd)
{
	FILE *in;
	char first[32];

	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return NULL;
	in = fdopen(fd, "r");
	if (!in)
		return NULL;
	if (fgets(first, sizeof(first), in) && strcmp(first, "preforkd-state 1\n") == 0)
		return in;
	fclose(in);
	return NULL;
}

int state_adopt(struct master *m, int fd, struct error *err)
{
	struct state s = {.m = m,
			  .pools = mem_new(BOARD_POOLS, sizeof(bool)),
			  .slots = mem_new(BOARD_SLOTS, sizeof(bool))};
	FILE *in = open_state(fd);
	int status = in ? take_lines(&s, in, err)
			: error_set(err, EX_SOFTWARE, STATE_VARIABLE ": not a state of preforkd");

	if (in)
		fclose(in);
	if (status == 0) {
		board_set(&m->board, INSTANCE_generation, m->generation);
		board_set_log_level(&m->board, m->log_level);
		if (!s.other_layout)
			release_unclaimed(&s);
		log_notice("upgrade: version %s took over from %s", PACKAGE_VERSION, s.version);
	}
	free(s.listeners);
	free(s.next);
	copy_free(s.copy);
	free(s.pools);
	free(s.slots);
	return status;
}

int state_wake(int fd, int wake[2])
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3), status = -1;
	FILE *in = copy < 0 ? NULL : open_state(copy);
	char line[4096];

	if (!in) {
		fd_close(&copy);
		return -1;
	}
	while (status < 0 && fgets(line, sizeof(line), in))
		if (sscanf(line, "wake %d %d", &wake[0], &wake[1]) == 2)
			status = 0;
	fclose(in);
	if (status == 0)
		for (int i = 0; i < 2; i++)
			fcntl(wake[i], F_SETFD, FD_CLOEXEC);
	return status;
}

/* NOLINTEND(cert-err34-c) */
