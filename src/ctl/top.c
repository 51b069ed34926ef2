/* SPDX-License-Identifier: ISC */
/* The verb top: the board live. */
#include <config.h>

#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl/ctl.h"
#include "ctl/top_draw.h"
#include "ctl/top_keys.h"
#include "ctl/top_screen.h"
#include "view/queues.h"

#define INTERVAL_DEFAULT USEC_PER_SEC
#define INTERVAL_LEAST   (USEC_PER_SEC / 10)
#define INTERVAL_MOST    (3600 * USEC_PER_SEC)
/* Rates take two looks: the second comes sooner. */
#define FIRST_INTERVAL (USEC_PER_SEC / 4)
/* How often a board that is replaced while it is read is read again. */
#define TAKES       5
#define BATCH_WIDTH 132

struct top {
	const struct ctl *ctl;
	struct top_model model;
	struct top_canvas canvas;
	char directory[PATH_MAX];
	struct board_reader reader;
	bool open;
	uint64_t count;     /* looks still to come */
	uint64_t next_usec; /* CLOCK_MONOTONIC of the next look */
	int signal_fd;
	int died_of; /* a signal that ends us */
};

/* ---- looks ---- */

static void close_board(struct top *top)
{
	if (top->open)
		board_close(&top->reader);
	top->open = false;
}

static int open_board(struct top *top, struct error *err)
{
	if (top->open && board_replaced(&top->reader, top->directory))
		close_board(top);
	if (top->open)
		return 0;
	if (ctl_directory(top->ctl, top->directory, sizeof(top->directory), err) < 0 ||
	    board_open(&top->reader, top->directory, err) < 0)
		return -1;
	top->open = true;
	return 0;
}

/* EX_UNAVAILABLE when nobody is there. */
static int take_snapshot(struct top *top, struct snapshot *snapshot, struct error *err)
{
	for (int i = 0; i < TAKES; i++) {
		if (open_board(top, err) < 0 ||
		    snapshot_take(snapshot, &top->reader, NULL, 0, err) < 0)
			return -1;
		if (snapshot->instance.state != MASTER_GONE) {
			snapshot_ask_queues(snapshot);
			return 0;
		}
		error_set(err, EX_UNAVAILABLE, "its master (pid %u) is gone",
			  snapshot->instance.pid);
		snapshot_free(snapshot);
		bool replaced = board_replaced(&top->reader, top->directory);
		close_board(top);
		if (!replaced)
			return -1;
	}
	return -1;
}

/* Only memory that is short ends it: everything else may change by the next look. */
static int look(struct top *top, struct error *err)
{
	struct snapshot snapshot = {0};
	struct error why;
	int result = 0;

	if (take_snapshot(top, &snapshot, &why) == 0)
		result = top_model_take(&top->model, &snapshot, err);
	else
		top_model_lost(&top->model, why.text);
	snapshot_free(&snapshot);
	return result;
}

/* The first look: who may not read the board, or cannot, is told so. */
static int look_first(struct top *top, bool must_run, struct error *err)
{
	struct snapshot snapshot = {0};
	int result = take_snapshot(top, &snapshot, err);

	snapshot_free(&snapshot);
	if (result < 0 && (must_run || err->code != EX_UNAVAILABLE))
		return ctl_not_running(err);
	return look(top, err);
}

static void plan_next(struct top *top, uint64_t interval)
{
	uint64_t now = ctl_now(CLOCK_MONOTONIC);

	top->next_usec += interval;
	/* Late by a stop: what was missed is not made up for. */
	if (top->next_usec < now)
		top->next_usec = now + interval;
}

/* ---- on a terminal ---- */

static int draw(struct top *top, struct error *err)
{
	int height, width;

	top_terminal_size(&height, &width);
	if (top_canvas_reset(&top->canvas, height, width) < 0)
		return error_set(err, EX_OSERR, "%s", strerror(errno));
	top_screen(&top->model, &top->canvas);
	top_terminal_draw(&top->canvas);
	return 0;
}

/* As the shell expects it of who is stopped, with the terminal as it was. */
static void stop_for_now(void)
{
	sigset_t set;

	top_terminal_close();
	sigemptyset(&set);
	sigaddset(&set, SIGTSTP);
	raise(SIGTSTP);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	/* Here it stops, and goes on. */
	sigprocmask(SIG_BLOCK, &set, NULL);
	top_terminal_resume();
}

static void read_signals(struct top *top)
{
	struct signalfd_siginfo info;

	while (read(top->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGTSTP:
			stop_for_now();
			break;
		case SIGWINCH:
		case SIGCONT:
			top_terminal_resume();
			break;
		case SIGINT:
			top->model.quit = true;
			break;
		default:
			top->died_of = (int)info.ssi_signo;
			top->model.quit = true;
		}
	}
}

static void read_keys(struct top *top)
{
	uint64_t interval = top->model.interval_usec;
	int key;

	while ((key = top_terminal_key()) != 0 && !top->model.quit)
		top_press(&top->model, key);
	if (top->model.interval_usec != interval)
		top->next_usec = ctl_now(CLOCK_MONOTONIC) + top->model.interval_usec;
}

/* Milliseconds until the next look; -1: there will be none before a key. */
static int patience(const struct top *top)
{
	uint64_t now = ctl_now(CLOCK_MONOTONIC);

	if (top->model.paused)
		return -1;
	return top->next_usec > now ? (int)((top->next_usec - now + 999) / 1000) : 0;
}

/* For a key, a signal, the next look. */
static int wait_for_something(struct top *top, struct error *err)
{
	struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
			       {.fd = top->signal_fd, .events = POLLIN}};

	if (poll(fds, 2, patience(top)) < 0 && errno != EINTR)
		return error_set(err, EX_OSERR, "poll: %s", strerror(errno));
	if (fds[1].revents)
		read_signals(top);
	else if (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
		return error_set(err, EX_IOERR, "the terminal is gone");
	else if (fds[0].revents)
		read_keys(top);
	return 0;
}

static bool is_time(const struct top *top)
{
	return !top->model.paused && ctl_now(CLOCK_MONOTONIC) >= top->next_usec;
}

static int run_live(struct top *top, struct error *err)
{
	plan_next(top, top->model.interval_usec < FIRST_INTERVAL ? top->model.interval_usec
								 : FIRST_INTERVAL);
	while (!top->model.quit) {
		if (draw(top, err) < 0 || wait_for_something(top, err) < 0)
			return -1;
		if (!is_time(top))
			continue;
		if (--top->count == 0)
			return 0;
		plan_next(top, top->model.interval_usec);
		if (look(top, err) < 0)
			return -1;
	}
	return 0;
}

/* Those that would leave the terminal as it is, or change it; a descriptor tells of them. Before
 * ncurses looks: it leaves alone what is blocked by then. */
static int catch_signals(struct top *top, sigset_t *before, struct error *err)
{
	static const int caught[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
		sigaddset(&set, caught[i]);
	sigprocmask(SIG_BLOCK, &set, before);
	top->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (top->signal_fd < 0)
		return error_set(err, EX_OSERR, "signalfd: %s", strerror(errno));
	return 0;
}

static int run_terminal(struct top *top, struct error *err)
{
	sigset_t before;
	int result;

	if (catch_signals(top, &before, err) < 0)
		return -1;
	result = top_terminal_open(err);
	if (result == 0) {
		/* SIGTSTP has a handler of ncurses by now. */
		signal(SIGTSTP, SIG_DFL);
		result = run_live(top, err);
		top_terminal_close();
	}
	fd_close(&top->signal_fd);
	if (top->died_of) {
		signal(top->died_of, SIG_DFL);
		raise(top->died_of);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	return result;
}

/* ---- in a file ---- */

static int batch_width(void)
{
	const char *text = getenv("COLUMNS");
	uint64_t width;

	return text && parse_uint(text, 20, 2000, &width) == 0 ? (int)width : BATCH_WIDTH;
}

static int print(struct top *top, struct error *err)
{
	if (top_canvas_reset(&top->canvas, top_batch_height(&top->model), batch_width()) < 0)
		return error_set(err, EX_OSERR, "%s", strerror(errno));
	top_batch(&top->model, &top->canvas);
	for (int i = 0; i < top->canvas.height; i++) {
		const struct top_line *line = &top->canvas.lines[i];
		size_t length = line->length;

		while (length > 0 && line->text[length - 1] == ' ')
			length--;
		printf("%.*s\n", (int)length, line->text);
	}
	return 0;
}

/* Sleeps until the next look. */
static void sleep_until(uint64_t usec)
{
	struct timespec at = {.tv_sec = (time_t)(usec / USEC_PER_SEC),
			      .tv_nsec = (long)(usec % USEC_PER_SEC * 1000)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		;
}

static int run_batch(struct top *top, struct error *err)
{
	for (bool first = true; top->count > 0; top->count--, first = false) {
		plan_next(top, top->model.interval_usec);
		sleep_until(top->next_usec);
		if (look(top, err) < 0)
			return -1;
		if (!first)
			putchar('\n');
		if (print(top, err) < 0)
			return -1;
		/* Whoever reads it wants it now; main tells what went wrong. */
		if (fflush(stdout) != 0)
			return 0;
	}
	return 0;
}

/* ---- the command line ---- */

/* `2`, `0.1`, `500ms`. */
static int parse_interval(const char *text, uint64_t *usec, struct error *err)
{
	char *end;
	double seconds = strtod(text, &end);

	if (*text >= '0' && *text <= '9' && !*end && seconds < 1e6)
		*usec = (uint64_t)(seconds * USEC_PER_SEC + 0.5);
	else if (parse_duration(text, usec) < 0)
		*usec = 0;
	if (*usec < INTERVAL_LEAST || *usec > INTERVAL_MOST)
		return error_set(err, EX_USAGE,
				 "--interval: \"%s\": seconds, from 0.1 to 3600, or a duration as "
				 "500ms",
				 text);
	return 0;
}

static int read_options(struct top *top, uint64_t *interval, struct error *err)
{
	const struct ctl *ctl = top->ctl;

	*interval = INTERVAL_DEFAULT;
	if (ctl->interval && parse_interval(ctl->interval, interval, err) < 0)
		return -1;
	if (ctl->count && parse_uint(ctl->count, 1, INT_MAX, &top->count) < 0)
		return error_set(err, EX_USAGE, "--count: \"%s\": a number from 1 on", ctl->count);
	return 0;
}

static int run(struct top *top, struct error *err)
{
	top->next_usec = ctl_now(CLOCK_MONOTONIC);
	if (look_first(top, top->ctl->batch, err) < 0)
		return -1;
	return top->ctl->batch ? run_batch(top, err) : run_terminal(top, err);
}

int top_run(const struct ctl *ctl, int argc, char **argv, struct error *err)
{
	struct top top = {.ctl = ctl, .count = UINT64_MAX, .signal_fd = -1};
	uint64_t interval;
	int result = -1;

	(void)argc, (void)argv;
	/* For what is a character, and how wide; numbers stay as they are. */
	setlocale(LC_CTYPE, "");
	if (read_options(&top, &interval, err) == 0 &&
	    top_model_init(&top.model, ctl->instance, interval, err) == 0)
		result = run(&top, err);
	close_board(&top);
	top_canvas_free(&top.canvas);
	top_model_free(&top.model);
	return result;
}
