/* SPDX-License-Identifier: ISC */
/*
 * qotd, RFC 865: a quotation for each client, chosen at random from the `file` of the options (as
 * fortune(6) has them: quotations between lines that hold only `%`) or from a few of our own. The
 * bytes are sent as they are, at most 512 of them.
 */
#include <config.h>

#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "handlers/builtin.h"

#define FILE_MAX ((size_t)64 << 20)

struct quotation {
	const char *text;
	size_t size;
};

struct qotd {
	char *file; /* what the file held, or NULL */
	struct quotation *list;
	size_t count;
	size_t room;
	uint64_t random;
};

/* Where open() puts the reason. */
struct reason {
	const char *path;
	char *text;
	size_t size;
};

static const char own_quotations[] =
	"The purpose of computing is insight, not numbers.\r\n\t-- Richard Hamming\r\n"
	"%\n"
	"Simplicity is prerequisite for reliability.\r\n\t-- Edsger W. Dijkstra\r\n"
	"%\n"
	"Beware of bugs in the above code; I have only proved it correct, not tried it.\r\n"
	"\t-- Donald E. Knuth\r\n"
	"%\n"
	"Be conservative in what you do, be liberal in what you accept from others.\r\n"
	"\t-- Jon Postel, RFC 761\r\n"
	"%\n"
	"When in doubt, use brute force.\r\n\t-- Ken Thompson\r\n";

__attribute__((format(printf, 2, 3))) static int fail(const struct reason *reason,
						      const char *format, ...)
{
	va_list args;
	int used;

	used = snprintf(reason->text, reason->size, "file \"%s\": ", reason->path);
	if (used < 0 || (size_t)used >= reason->size)
		return -1;
	va_start(args, format);
	vsnprintf(reason->text + used, reason->size - (size_t)used, format, args);
	va_end(args);
	return -1;
}

static void qotd_close(void *state)
{
	struct qotd *qotd = state;

	if (!qotd)
		return;
	free(qotd->list);
	free(qotd->file);
	free(qotd);
}

/* Not open(2) and a blocking read of whatever it is: a FIFO would stop the whole daemon. */
static char *read_file(const struct reason *reason, size_t *size)
{
	__attribute__((cleanup(fd_close))) int fd =
		open(reason->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	char *data;

	if (fd < 0 || fstat(fd, &st) < 0) {
		fail(reason, "%s", strerror(errno));
		return NULL;
	}
	if (!S_ISREG(st.st_mode)) {
		fail(reason, "not a regular file");
		return NULL;
	}
	data = fd_read_all(fd, FILE_MAX, size);
	if (!data)
		fail(reason, "%s", strerror(errno));
	return data;
}

static bool is_separator(const char *line, size_t size)
{
	if (size > 0 && line[size - 1] == '\n')
		size--;
	if (size > 0 && line[size - 1] == '\r')
		size--;
	return size == 1 && line[0] == '%';
}

static bool is_blank(const char *text, size_t size)
{
	while (size > 0 && memchr(" \t\r\n", text[size - 1], 4) != NULL)
		size--;
	return size == 0;
}

static int add(struct qotd *qotd, const char *text, size_t size, size_t line,
	       const struct reason *reason)
{
	struct quotation *list;

	if (is_blank(text, size))
		return 0;
	if (size > BUILTIN_REPLY_MAX)
		return fail(reason, "line %zu: a quotation of %zu bytes; at most %d are sent", line,
			    size, BUILTIN_REPLY_MAX);
	if (qotd->count == qotd->room) {
		size_t room = qotd->room ? 2 * qotd->room : 16;

		list = reallocarray(qotd->list, room, sizeof(*list));
		if (!list)
			return fail(reason, "%s", strerror(errno));
		qotd->list = list;
		qotd->room = room;
	}
	qotd->list[qotd->count++] = (struct quotation){.text = text, .size = size};
	return 0;
}

static int split(struct qotd *qotd, const char *text, size_t size, const struct reason *reason)
{
	const char *end = text + size;
	const char *start = text;
	size_t start_line = 1;
	size_t line = 1;

	for (const char *p = text, *next; p < end; p = next, line++) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));

		next = newline ? newline + 1 : end;
		if (!is_separator(p, (size_t)(next - p)))
			continue;
		if (add(qotd, start, (size_t)(p - start), start_line, reason) < 0)
			return -1;
		start = next;
		start_line = line + 1;
	}
	if (add(qotd, start, (size_t)(end - start), start_line, reason) < 0)
		return -1;
	return qotd->count > 0 ? 0 : fail(reason, "no quotation in it");
}

static int load(struct qotd *qotd, const char *path, char *error, size_t error_size)
{
	const struct reason reason = {.path = path, .text = error, .size = error_size};
	size_t size;

	if (!path)
		return split(qotd, own_quotations, sizeof(own_quotations) - 1, &reason);
	qotd->file = read_file(&reason, &size);
	if (!qotd->file)
		return -1;
	return split(qotd, qotd->file, size, &reason);
}

static int qotd_open(const struct preforkd_setup *setup, void **state, char *error,
		     size_t error_size)
{
	static const char *const known[] = {"file"};
	struct qotd *qotd;

	if (builtin_options_check(setup, known, 1, error, error_size) < 0)
		return -1;
	qotd = calloc(1, sizeof(*qotd));
	if (!qotd) {
		snprintf(error, error_size, "out of memory");
		return -1;
	}
	if (load(qotd, preforkd_option(setup, "file", NULL), error, error_size) < 0) {
		qotd_close(qotd);
		return -1;
	}
	*state = qotd;
	return 0;
}

/* Without its own seed every worker would choose what its siblings choose. */
static int qotd_enter(void *state)
{
	struct qotd *qotd = state;

	qotd->random = builtin_random_seed();
	return 0;
}

static const struct quotation *choose(struct qotd *qotd)
{
	return &qotd->list[builtin_random(&qotd->random) % qotd->count];
}

static int qotd_serve(void *state, const struct preforkd_client *client)
{
	const struct quotation *quotation = choose(state);

	return preforkd_write_last(client->fd, quotation->text, quotation->size);
}

static ssize_t qotd_answer(void *state, const struct preforkd_datagram *datagram, void *reply,
			   size_t room)
{
	const struct quotation *quotation = choose(state);

	(void)datagram;
	return builtin_reply(reply, room, quotation->text, quotation->size);
}

const struct preforkd_handler builtin_qotd = {
	.abi = PREFORKD_ABI,
	.flags = PREFORKD_REFUSE_LOOPS | PREFORKD_SMALL_REPLIES | PREFORKD_PROMPT_ANSWER,
	.name = "qotd",
	.open = qotd_open,
	.enter = qotd_enter,
	.serve = qotd_serve,
	.answer = qotd_answer,
	.close = qotd_close,
};
