/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/journal.h"
#include "base/log.h"
#include "base/log_escape.h"

#define LINE_MAX_BYTES 2048

/* STREAM: journald reads stderr, and adds the name and the pid itself. */
enum style { STYLE_PREFIXED, STYLE_STREAM, STYLE_TERMINAL, STYLE_JOURNAL };

static struct {
	char ident[64];
	enum log_level level;
	enum style style;
	bool pipe; /* stderr is one */
	int journal;
	const char *journal_path;
	const char *instance;
	const char *service, *address;
	pid_t worker; /* this process, when it has a subject: a system call less for each line */
	const _Atomic uint32_t *followed; /* instead of level */
	uint64_t lost;                    /* not yet said */
	_Atomic uint64_t *losses;
} logger = {.ident = "preforkd", .level = LOG_LEVEL_INFO, .journal = -1};

static const struct {
	const char *name;
	const char *label; /* on a terminal, which shows no priority */
	int priority;      /* of sd-daemon(3) */
} levels[] = {
	[LOG_LEVEL_ERROR] = {"error", "error: ", 3},
	[LOG_LEVEL_WARNING] = {"warning", "warning: ", 4},
	[LOG_LEVEL_NOTICE] = {"notice", "", 5},
	[LOG_LEVEL_INFO] = {"info", "", 6},
	[LOG_LEVEL_DEBUG] = {"debug", "", 7},
};
#define LEVELS (sizeof(levels) / sizeof(*levels))

static const char *const message_ids[] = {
#define MESSAGE(name, id, subject) [MESSAGE_##name] = (id),
#include "base/messages.def"
#undef MESSAGE
};

void log_open(const char *ident, enum log_level level)
{
	struct stat st;

	snprintf(logger.ident, sizeof(logger.ident), "%s", ident);
	logger.level = level;
	logger.pipe = fstat(STDERR_FILENO, &st) == 0 && S_ISFIFO(st.st_mode);
	if (isatty(STDERR_FILENO))
		logger.style = STYLE_TERMINAL;
	else if (!journal_is(STDERR_FILENO))
		logger.style = STYLE_PREFIXED;
	else if (log_use_journal(JOURNAL_SOCKET) < 0)
		logger.style = STYLE_STREAM;
}

int log_use_journal(const char *path)
{
	int fd = journal_open(path);

	if (fd < 0)
		return -1;
	fd_close(&logger.journal);
	logger.journal = fd;
	logger.journal_path = path;
	logger.style = STYLE_JOURNAL;
	return 0;
}

void log_part(void)
{
	if (logger.style != STYLE_JOURNAL || log_use_journal(logger.journal_path) == 0)
		return;
	fd_close(&logger.journal);
	logger.style = STYLE_STREAM;
}

void log_linger(void)
{
	const struct timespec moment = {.tv_nsec = 100000000};

	if (logger.style == STYLE_JOURNAL)
		nanosleep(&moment, NULL);
}

int log_descriptor(void)
{
	return logger.journal;
}

void log_set_level(enum log_level level)
{
	logger.level = level;
}

void log_follow_level(const _Atomic uint32_t *level)
{
	logger.followed = level;
}

static bool is_wanted(enum log_level level)
{
	if (!logger.followed)
		return level <= logger.level;
	return level <= atomic_load_explicit(logger.followed, memory_order_relaxed);
}

void log_set_instance(const char *instance)
{
	logger.instance = instance;
}

void log_set_subject(const char *service, const char *address)
{
	logger.service = service;
	logger.address = address;
	logger.worker = service ? getpid() : 0;
}

void log_count_losses(_Atomic uint64_t *counter)
{
	logger.losses = counter;
}

int log_level_from_name(const char *name, enum log_level *level)
{
	for (size_t i = 0; i < LEVELS; i++) {
		if (strcmp(levels[i].name, name))
			continue;
		*level = (enum log_level)i;
		return 0;
	}
	return -1;
}

const char *log_level_name(enum log_level level)
{
	return (size_t)level < LEVELS ? levels[level].name : "unknown";
}

/* ---- the text ---- */

static size_t append(char *text, size_t room, size_t used, const char *more)
{
	size_t size = strlen(more);

	if (size >= room - used)
		size = room - used - 1;
	memcpy(text + used, more, size);
	return used + size;
}

/* Not by printf(3), which costs a worker more than the rest of its line. */
static size_t put_subject(char *text, size_t room, size_t used)
{
	if (!logger.service)
		return used;
	used = append(text, room, used, "service \"");
	used = append(text, room, used, logger.service);
	used = append(text, room, used, "\" [");
	used = append(text, room, used, logger.address);
	return append(text, room, used, "]: ");
}

static size_t put_prefix(char *text, size_t room, enum log_level level)
{
	int used = 0;

	switch (logger.style) {
	case STYLE_PREFIXED:
		used = snprintf(text, room, "<%d>%s[%d]: ", levels[level].priority, logger.ident,
				(int)getpid());
		break;
	case STYLE_STREAM:
		used = snprintf(text, room, "<%d>", levels[level].priority);
		break;
	case STYLE_TERMINAL:
		used = snprintf(text, room, "%s: %s", logger.ident, levels[level].label);
		break;
	case STYLE_JOURNAL: /* which has fields for that */
		break;
	}
	return put_subject(text, room, (size_t)used < room ? (size_t)used : room - 1);
}

/* ---- where it goes ---- */

/* A pipe of which many write can fill up between the look and the write. */
static ssize_t write_to_pipe(const char *line, size_t size)
{
	/* Nothing is written to it. */
	struct iovec iov = {.iov_base = (void *)(uintptr_t)line, .iov_len = size};

	return pwritev2(STDERR_FILENO, &iov, 1, -1, RWF_NOWAIT);
}

/* In one call, so that lines of several processes neither mix nor break. */
static int write_line(const char *line, size_t size)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
	ssize_t n = send(STDERR_FILENO, line, size, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n >= 0 || errno != ENOTSOCK)
		return n < 0 ? -1 : 0;
	if (poll(&p, 1, 0) == 0)
		return -1;
	n = logger.pipe ? write_to_pipe(line, size) : -1;
	if (n < 0 && (!logger.pipe || errno != EAGAIN))
		n = write(STDERR_FILENO, line, size);
	return n < 0 ? -1 : 0;
}

static void add_subject(struct journal_entry *entry, const struct log_about *about)
{
	journal_add_text(entry, "PREFORKD_INSTANCE", logger.instance);
	journal_add_text(entry, "PREFORKD_SERVICE",
			 about->service ? about->service : logger.service);
	journal_add_text(entry, "PREFORKD_ADDRESS",
			 about->address ? about->address : logger.address);
	if (about->worker || logger.worker)
		journal_add_number(entry, "PREFORKD_WORKER",
				   (uint64_t)(about->worker ? about->worker : logger.worker));
}

static void add_client(struct journal_entry *entry, const struct log_about *about)
{
	journal_add_text(entry, "PREFORKD_SOURCE", about->source);
	if (about->timed)
		journal_add_number(entry, "PREFORKD_DURATION_USEC", about->duration_usec);
	if (about->counted) {
		journal_add_number(entry, "PREFORKD_BYTES_IN", about->bytes_in);
		journal_add_number(entry, "PREFORKD_BYTES_OUT", about->bytes_out);
	}
}

static int send_entry(enum log_level level, enum log_message message, const struct log_about *about,
		      const char *text, size_t size)
{
	static const struct log_about nothing;
	struct journal_entry entry;

	entry.used = 0;
	journal_add(&entry, "MESSAGE", text, size);
	journal_add_number(&entry, "PRIORITY", (uint64_t)levels[level].priority);
	journal_add_text(&entry, "SYSLOG_IDENTIFIER", logger.ident);
	journal_add_text(&entry, "MESSAGE_ID", message_ids[message]);
	add_subject(&entry, about ? about : &nothing);
	if (about)
		add_client(&entry, about);
	return journal_send(logger.journal, logger.journal_path, &entry);
}

/* The text is escaped as a whole. Returns 0, or -1: lost; nobody could be told. */
static int put_out(enum log_level level, enum log_message message, const struct log_about *about,
		   const char *raw)
{
	char line[LINE_MAX_BYTES];
	size_t used = log_escape_line(line, sizeof(line) - 1, raw, strlen(raw));

	if (logger.style == STYLE_JOURNAL)
		return send_entry(level, message, about, line, used);
	line[used++] = '\n';
	return write_line(line, used);
}

static void count_loss(void)
{
	logger.lost++;
	if (logger.losses)
		atomic_fetch_add_explicit(logger.losses, 1, memory_order_relaxed);
}

static void tell_losses(void)
{
	char raw[LINE_MAX_BYTES];
	size_t used = put_prefix(raw, sizeof(raw), LOG_LEVEL_WARNING);

	snprintf(raw + used, sizeof(raw) - used, "%llu lines of the log were lost",
		 (unsigned long long)logger.lost);
	if (put_out(LOG_LEVEL_WARNING, MESSAGE_log_lost, NULL, raw) == 0)
		logger.lost = 0;
}

__attribute__((format(printf, 4, 0))) static void log_args(enum log_level level,
							   enum log_message message,
							   const struct log_about *about,
							   const char *format, va_list args)
{
	int saved = errno;
	char raw[LINE_MAX_BYTES];
	size_t used;

	if ((size_t)level >= LEVELS || !is_wanted(level))
		return;
	used = put_prefix(raw, sizeof(raw), level);
	errno = saved; /* for %m */
	vsnprintf(raw + used, sizeof(raw) - used, format, args);
	if (put_out(level, message, about, raw) < 0)
		count_loss();
	else if (logger.lost)
		tell_losses();
	errno = saved;
}

void log_line(enum log_level level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_args(level, MESSAGE_none, NULL, format, args);
	va_end(args);
}

void log_event(enum log_level level, enum log_message message, const struct log_about *about,
	       const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_args(level, message, about, format, args);
	va_end(args);
}
