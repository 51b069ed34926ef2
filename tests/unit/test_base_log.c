/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(*(array))))
#define LINE_ROOM    2048

/* Each test is a process of its own, so stderr need not be put back. */
static int stderr_to_file(void)
{
	int fd = memfd_create("stderr", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	unsetenv("JOURNAL_STREAM");
	return fd;
}

static const char *written(int fd)
{
	static char text[4 * LINE_ROOM];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	ck_assert_int_ge(n, 0);
	text[n] = '\0';
	return text;
}

/* The line's text behind `<N>ident[pid]: `, which is checked. */
static const char *written_text(int fd, int priority, const char *ident)
{
	const char *text = written(fd);
	char prefix[100];
	int length =
		snprintf(prefix, sizeof(prefix), "<%d>%s[%d]: ", priority, ident, (int)getpid());

	ck_assert_msg(!strncmp(text, prefix, (size_t)length), "\"%s\" begins not with \"%s\"", text,
		      prefix);
	return text + length;
}

#define ESCAPES(data, want)                  \
	{                                    \
		data, sizeof(data) - 1, want \
	}

static const struct {
	const char *data;
	size_t size;
	const char *want;
} escapes[] = {
	ESCAPES("", ""),
	ESCAPES("plain text, with \"quotes\" ~", "plain text, with \"quotes\" ~"),
	ESCAPES("a\nb", "a\\nb"),
	ESCAPES("a\tb", "a\\tb"),
	ESCAPES("a\\nb", "a\\\\nb"),
	ESCAPES("a\rb", "a\\x0db"),
	ESCAPES("a\0b", "a\\x00b"),
	ESCAPES("\x01\x1f\x7f", "\\x01\\x1f\\x7f"),
	ESCAPES("\x1b[31mred", "\\x1b[31mred"),
	/* valid UTF-8 stays */
	ESCAPES("gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"),
	ESCAPES("\xe2\x82\xac", "\xe2\x82\xac"),
	ESCAPES("\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"),
	ESCAPES("\xc2\xa0", "\xc2\xa0"),
	ESCAPES("\xed\x9f\xbf", "\xed\x9f\xbf"),
	ESCAPES("\xf4\x8f\xbf\xbd", "\xf4\x8f\xbf\xbd"),
	/* C1 controls: as characters and as bare bytes */
	ESCAPES("\xc2\x80", "\\xc2\\x80"),
	ESCAPES("\xc2\x9b", "\\xc2\\x9b"),
	ESCAPES("\xc2\x9f", "\\xc2\\x9f"),
	ESCAPES("\x9b", "\\x9b"),
	/* what moves or hides text */
	ESCAPES("a\xe2\x80\xae"
		"b",
		"a\\xe2\\x80\\xae"
		"b"),
	ESCAPES("\xe2\x80\xaa", "\\xe2\\x80\\xaa"),
	ESCAPES("\xe2\x81\xa6", "\\xe2\\x81\\xa6"),
	ESCAPES("\xe2\x81\xa9", "\\xe2\\x81\\xa9"),
	ESCAPES("\xe2\x80\xa8", "\\xe2\\x80\\xa8"),
	ESCAPES("\xe2\x80\xa9", "\\xe2\\x80\\xa9"),
	ESCAPES("\xe2\x80\x8f", "\\xe2\\x80\\x8f"),
	ESCAPES("\xd8\x9c", "\\xd8\\x9c"),
	ESCAPES("\xef\xbb\xbf", "\\xef\\xbb\\xbf"),
	ESCAPES("\xf3\xa0\x81\x81", "\\xf3\\xa0\\x81\\x81"),
	/* neighbours of those ranges stay */
	ESCAPES("\xe2\x80\xa7\xe2\x80\xaf", "\xe2\x80\xa7\xe2\x80\xaf"),
	/* invalid: lone bytes, cut short, overlong, surrogates, beyond Unicode */
	ESCAPES("\x80", "\\x80"),
	ESCAPES("\xff\xfe", "\\xff\\xfe"),
	ESCAPES("\xc3", "\\xc3"),
	ESCAPES("\xc3(", "\\xc3("),
	ESCAPES("\xe2\x82", "\\xe2\\x82"),
	ESCAPES("\xe2\x82x", "\\xe2\\x82x"),
	ESCAPES("\xf0\x9f\x98", "\\xf0\\x9f\\x98"),
	ESCAPES("\xc0\x8a", "\\xc0\\x8a"),
	ESCAPES("\xc1\xbf", "\\xc1\\xbf"),
	ESCAPES("\xe0\x80\x8a", "\\xe0\\x80\\x8a"),
	ESCAPES("\xe0\x9f\xbf", "\\xe0\\x9f\\xbf"),
	ESCAPES("\xf0\x80\x80\x8a", "\\xf0\\x80\\x80\\x8a"),
	ESCAPES("\xed\xa0\x80", "\\xed\\xa0\\x80"),
	ESCAPES("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"),
	ESCAPES("\xf8\x88\x80\x80\x80", "\\xf8\\x88\\x80\\x80\\x80"),
	/* a character after an invalid byte is seen again */
	ESCAPES("\xe2\xc3\xbc", "\\xe2\xc3\xbc"),
};

START_TEST(test_escape)
{
	char text[200];
	size_t length = log_escape(text, sizeof(text), escapes[_i].data, escapes[_i].size);

	ck_assert_str_eq(text, escapes[_i].want);
	ck_assert_uint_eq(length, strlen(escapes[_i].want));
}
END_TEST

static const struct {
	const char *data;
	size_t room;
	const char *want;
} cuts[] = {
	{"abcdefgh", 9, "abcdefgh"},
	{"abcdefgh", 8, "abcd..."},
	{"abcdefgh", 5, "a..."},
	{"abcdefgh", 4, "..."},
	{"abcdefgh", 3, ".."},
	{"abcdefgh", 2, "."},
	{"abcdefgh", 1, ""},
	{"a", 2, "a"},
	{"abc", 4, "abc"},
	{"", 1, ""},
	/* neither an escape nor a character is cut apart */
	{"abc\n\n\n\n", 8, "abc..."},
	{"abc\n\n\n\n", 9, "abc\\n..."},
	{"abc\x01\x02", 11, "abc\\x01..."},
	{"abc\x01\x02", 12, "abc\\x01\\x02"},
	{"ab\xe2\x82\xac\xe2\x82\xac", 8, "ab..."},
	{"ab\xe2\x82\xac\xe2\x82\xac", 9, "ab\xe2\x82\xac\xe2\x82\xac"},
	{"\xe2\x80\xae\xe2\x80\xae", 24, "\\xe2\\x80\\xae..."},
	{"\xe2\x80\xae\xe2\x80\xae", 15, "..."},
};

START_TEST(test_escape_cut)
{
	char text[64];
	size_t room = cuts[_i].room, length;

	memset(text, '#', sizeof(text));
	length = log_escape(text, room, cuts[_i].data, strlen(cuts[_i].data));
	ck_assert_str_eq(text, cuts[_i].want);
	ck_assert_uint_eq(length, strlen(cuts[_i].want));
	for (size_t i = room; i < sizeof(text); i++)
		ck_assert_int_eq(text[i], '#');
}
END_TEST

START_TEST(test_escape_no_room)
{
	char text[] = "#";

	ck_assert_uint_eq(log_escape(text, 0, "abc", 3), 0);
	ck_assert_str_eq(text, "#");
	ck_assert_uint_eq(log_escape(text, sizeof(text), NULL, 0), 0);
	ck_assert_str_eq(text, "");
}
END_TEST

/* Whatever the bytes: printable, terminated, within the room, and never longer than fits. */
START_TEST(test_escape_any_bytes)
{
	unsigned char data[64];
	char text[80];

	srandom((unsigned)_i + 1);
	for (int round = 0; round < 1000; round++) {
		size_t size = (size_t)random() % sizeof(data), room = (size_t)random() % 80 + 1;
		size_t length;

		for (size_t i = 0; i < size; i++)
			data[i] = (unsigned char)random();
		length = log_escape(text, room, data, size);
		ck_assert_uint_lt(length, room);
		ck_assert_uint_eq(strlen(text), length);
		for (size_t i = 0; i < length; i++)
			ck_assert((unsigned char)text[i] >= ' ' && text[i] != 0x7f);
	}
}
END_TEST

static const struct {
	enum log_level level;
	int priority;
	const char *name;
} levels[] = {
	{LOG_LEVEL_ERROR, 3, "error"},   {LOG_LEVEL_WARNING, 4, "warning"},
	{LOG_LEVEL_NOTICE, 5, "notice"}, {LOG_LEVEL_INFO, 6, "info"},
	{LOG_LEVEL_DEBUG, 7, "debug"},
};

START_TEST(test_level_names)
{
	enum log_level level;

	ck_assert_int_eq(log_level_from_name(levels[_i].name, &level), 0);
	ck_assert_int_eq(level, levels[_i].level);
	ck_assert_str_eq(log_level_name(levels[_i].level), levels[_i].name);
}
END_TEST

START_TEST(test_level_names_unknown)
{
	static const char *const names[] = {"", "Error", "err", "errors", " error", "3", "none"};

	for (int i = 0; i < COUNT(names); i++) {
		enum log_level level = LOG_LEVEL_NOTICE;

		ck_assert_int_eq(log_level_from_name(names[i], &level), -1);
		ck_assert_int_eq(level, LOG_LEVEL_NOTICE);
	}
	ck_assert_ptr_nonnull(log_level_name((enum log_level)99));
}
END_TEST

START_TEST(test_line_prefixed)
{
	int fd = stderr_to_file();

	log_open("preforkd", LOG_LEVEL_DEBUG);
	log_line(levels[_i].level, "%s is %d", "it", 7);
	ck_assert_str_eq(written_text(fd, levels[_i].priority, "preforkd"), "it is 7\n");
}
END_TEST

START_TEST(test_line_macros)
{
	int fd = stderr_to_file();
	char want[400];
	int pid = (int)getpid();

	/* of another descriptor: stderr was led elsewhere */
	setenv("JOURNAL_STREAM", "8:12345", 1);
	log_open("x", LOG_LEVEL_DEBUG);
	log_error("e%d", 1);
	log_warning("w");
	log_notice("n");
	log_info("i");
	log_debug("d");
	snprintf(want, sizeof(want),
		 "<3>x[%d]: e1\n<4>x[%d]: w\n<5>x[%d]: n\n<6>x[%d]: i\n<7>x[%d]: d\n", pid, pid,
		 pid, pid, pid);
	ck_assert_str_eq(written(fd), want);
}
END_TEST

/* Of every level just the lines up to it are written. */
START_TEST(test_line_levels)
{
	int fd = stderr_to_file(), lines = 0;

	log_open("preforkd", LOG_LEVEL_DEBUG);
	log_set_level(levels[_i].level);
	for (int i = 0; i < COUNT(levels); i++)
		log_line(levels[i].level, "line");
	log_line((enum log_level)99, "no such level");
	for (const char *p = written(fd); *p; p++)
		lines += *p == '\n';
	ck_assert_int_eq(lines, _i + 1);
}
END_TEST

START_TEST(test_line_before_open)
{
	int fd = stderr_to_file();

	log_debug("not shown");
	log_info("shown");
	ck_assert_str_eq(written_text(fd, 6, "preforkd"), "shown\n");
}
END_TEST

START_TEST(test_line_subject)
{
	int fd = stderr_to_file();
	char want[200];

	log_open("x", LOG_LEVEL_INFO);
	log_set_subject("echo", "tcp://*:7");
	log_info("ready");
	log_set_subject(NULL, NULL);
	log_info("bare");
	snprintf(want, sizeof(want),
		 "<6>x[%d]: service \"echo\" [tcp://*:7]: ready\n<6>x[%d]: bare\n", (int)getpid(),
		 (int)getpid());
	ck_assert_str_eq(written(fd), want);
}
END_TEST

START_TEST(test_line_in_child)
{
	int fd = stderr_to_file(), status;
	pid_t child;
	char want[64];

	log_open("preforkd", LOG_LEVEL_INFO);
	child = fork();
	if (!child) {
		log_info("child");
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	snprintf(want, sizeof(want), "<6>preforkd[%d]: child\n", (int)child);
	ck_assert_str_eq(written(fd), want);
}
END_TEST

START_TEST(test_line_cannot_be_forged)
{
	int fd = stderr_to_file();

	log_open("preforkd", LOG_LEVEL_INFO);
	log_set_subject("sub\nject", "address");
	log_info("%s", "one\n<3>two\r\x1b[2J\t\xff gr\xc3\xbc\xc3\x9f \xe2\x80\xae \\n");
	ck_assert_str_eq(written_text(fd, 6, "preforkd"),
			 "service \"sub\\nject\" [address]: one\\n<3>two\\x0d\\x1b[2J\\t\\xff "
			 "gr\xc3\xbc\xc3\x9f "
			 "\\xe2\\x80\\xae \\n\n");
}
END_TEST

/* Text that fits exactly, is one too long, or far too long, plain and in escapes. */
START_TEST(test_line_cut)
{
	static const int around[] = {-3, -2, -1, 0, 2 * LINE_ROOM};
	int fd = stderr_to_file();
	size_t prefix = (size_t)snprintf(NULL, 0, "<6>preforkd[%d]: ", (int)getpid());
	size_t size = LINE_ROOM - prefix + (size_t)around[_i];
	char *text = malloc(size + 1);
	const char *line;

	ck_assert_ptr_nonnull(text);
	memset(text, 'x', size);
	text[size] = '\0';
	log_open("preforkd", LOG_LEVEL_INFO);
	log_info("%s", text);
	line = written(fd);
	if (prefix + size + 1 < LINE_ROOM) {
		ck_assert_uint_eq(strlen(line), prefix + size + 1);
		ck_assert_ptr_null(strchr(line, '.'));
	} else {
		ck_assert_uint_eq(strlen(line), LINE_ROOM - 1);
		ck_assert_str_eq(line + LINE_ROOM - 1 - 5, "x...\n");
	}
	free(text);
}
END_TEST

START_TEST(test_line_cut_in_escapes)
{
	int fd = stderr_to_file();
	char text[LINE_ROOM - 100];
	const char *line;

	memset(text, '\x01', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_open("preforkd", LOG_LEVEL_INFO);
	log_info("%s", text);
	line = written(fd);
	ck_assert_uint_lt(strlen(line), LINE_ROOM);
	ck_assert_str_eq(line + strlen(line) - 8, "\\x01...\n");
}
END_TEST

START_TEST(test_line_long_ident)
{
	int fd = stderr_to_file();
	char ident[3 * LINE_ROOM], *line;

	memset(ident, 'i', sizeof(ident) - 1);
	ident[sizeof(ident) - 1] = '\0';
	log_open(ident, LOG_LEVEL_INFO);
	log_set_subject(ident, ident);
	log_info("lost");
	line = strdup(written(fd));
	ck_assert_uint_eq(strlen(line), LINE_ROOM - 1);
	ck_assert_str_eq(line + LINE_ROOM - 1 - 4, "...\n");
	free(line);
}
END_TEST

START_TEST(test_line_keeps_errno)
{
	int fd = stderr_to_file();

	log_open("preforkd", LOG_LEVEL_INFO);
	errno = ENOENT;
	log_info("%m");
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_str_eq(written_text(fd, 6, "preforkd"), "No such file or directory\n");
	close(STDERR_FILENO);
	errno = EDOM;
	log_info("nobody reads this");
	ck_assert_int_eq(errno, EDOM);
}
END_TEST

static const struct {
	enum log_level level;
	const char *want;
} terminal_lines[] = {
	{LOG_LEVEL_ERROR, "preforkd: error: service \"s\" [a]: text\r\n"},
	{LOG_LEVEL_WARNING, "preforkd: warning: service \"s\" [a]: text\r\n"},
	{LOG_LEVEL_NOTICE, "preforkd: service \"s\" [a]: text\r\n"},
	{LOG_LEVEL_INFO, "preforkd: service \"s\" [a]: text\r\n"},
	{LOG_LEVEL_DEBUG, "preforkd: service \"s\" [a]: text\r\n"},
};

START_TEST(test_line_on_terminal)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), terminal;
	char text[200];
	ssize_t n;

	if (master < 0 || grantpt(master) || unlockpt(master)) {
		printf("skipped: this machine has no pseudo-terminals\n");
		return;
	}
	terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
	ck_assert_int_ge(terminal, 0);
	ck_assert_int_eq(dup2(terminal, STDERR_FILENO), STDERR_FILENO);
	setenv("JOURNAL_STREAM", "8:12345", 1); /* a terminal all the same */
	log_open("preforkd", LOG_LEVEL_DEBUG);
	log_set_subject("s", "a");
	log_line(terminal_lines[_i].level, "text");
	n = read(master, text, sizeof(text) - 1);
	ck_assert_int_gt(n, 0);
	text[n] = '\0';
	ck_assert_str_eq(text, terminal_lines[_i].want);
}
END_TEST

#define HOUR 3600000000ULL

/* The interval is over: what the clock would do in an hour. */
static void let_pass(struct log_limit *limit)
{
	limit->next &= 1;
}

START_TEST(test_limit)
{
	struct log_limit limit = {0};

	ck_assert(log_limit_passes(&limit, HOUR));
	ck_assert_uint_eq(limit.suppressed, 0);
	for (unsigned i = 1; i <= 5; i++) {
		ck_assert(!log_limit_passes(&limit, HOUR));
		ck_assert_uint_eq(limit.suppressed, i);
	}
	let_pass(&limit);
	ck_assert(log_limit_passes(&limit, HOUR));
	ck_assert_uint_eq(limit.suppressed, 5); /* for the line that may be written now */
	ck_assert(!log_limit_passes(&limit, HOUR));
	ck_assert_uint_eq(limit.suppressed, 1);
	let_pass(&limit);
	ck_assert(log_limit_passes(&limit, HOUR));
	ck_assert_uint_eq(limit.suppressed, 1);
	let_pass(&limit);
	ck_assert(log_limit_passes(&limit, HOUR)); /* nothing in between: the 1 is told already */
	ck_assert_uint_eq(limit.suppressed, 0);
}
END_TEST

START_TEST(test_limit_reset_by_caller)
{
	struct log_limit limit = {0};

	ck_assert(log_limit_passes(&limit, HOUR));
	ck_assert(!log_limit_passes(&limit, HOUR));
	let_pass(&limit);
	ck_assert(log_limit_passes(&limit, HOUR));
	ck_assert_uint_eq(limit.suppressed, 1);
	limit.suppressed = 0;
	ck_assert(!log_limit_passes(&limit, HOUR));
	ck_assert(!log_limit_passes(&limit, HOUR));
	ck_assert_uint_eq(limit.suppressed, 2);
}
END_TEST

static unsigned long long now_usec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000;
}

START_TEST(test_limit_by_the_clock)
{
	static const unsigned long long interval = 20000;
	struct log_limit limit = {0};
	unsigned long long start = now_usec(), passed = 0, end;

	do
		passed += log_limit_passes(&limit, interval);
	while ((end = now_usec()) < start + 5 * interval);
	ck_assert_uint_ge(passed, 2);
	ck_assert_uint_le(passed, (end - start) / interval + 1);
}
END_TEST

static Suite *log_suite(void)
{
	Suite *suite = suite_create("base/log");
	TCase *escape = tcase_create("escape"), *line = tcase_create("line");
	TCase *limit = tcase_create("limit");

	tcase_add_loop_test(escape, test_escape, 0, COUNT(escapes));
	tcase_add_loop_test(escape, test_escape_cut, 0, COUNT(cuts));
	tcase_add_test(escape, test_escape_no_room);
	tcase_add_loop_test(escape, test_escape_any_bytes, 0, 4);
	tcase_add_loop_test(line, test_level_names, 0, COUNT(levels));
	tcase_add_test(line, test_level_names_unknown);
	tcase_add_loop_test(line, test_line_prefixed, 0, COUNT(levels));
	tcase_add_test(line, test_line_macros);
	tcase_add_loop_test(line, test_line_levels, 0, COUNT(levels));
	tcase_add_test(line, test_line_before_open);
	tcase_add_test(line, test_line_subject);
	tcase_add_test(line, test_line_in_child);
	tcase_add_test(line, test_line_cannot_be_forged);
	tcase_add_loop_test(line, test_line_cut, 0, 5);
	tcase_add_test(line, test_line_cut_in_escapes);
	tcase_add_test(line, test_line_long_ident);
	tcase_add_test(line, test_line_keeps_errno);
	tcase_add_loop_test(line, test_line_on_terminal, 0, COUNT(terminal_lines));
	tcase_add_test(limit, test_limit);
	tcase_add_test(limit, test_limit_reset_by_caller);
	tcase_add_test(limit, test_limit_by_the_clock);
	suite_add_tcase(suite, escape);
	suite_add_tcase(suite, line);
	suite_add_tcase(suite, limit);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(log_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
