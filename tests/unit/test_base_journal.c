/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/journal.h"
#include "base/log.h"
#include "test_base_journal.h"

static struct journald journald;

static void start(void)
{
	journald_start(&journald);
	log_open("preforkd", LOG_LEVEL_DEBUG);
	ck_assert_int_eq(log_use_journal(journald.path), 0);
}

static void end(void)
{
	journald_end(&journald);
}

static void take(void)
{
	ck_assert(journald_take(&journald));
}

static void expect(const char *key, const char *want)
{
	journald_expect(&journald, key, want);
}

/* ---- JOURNAL_STREAM ---- */

static const struct {
	const char *format;
	int ino_off;
	bool want;
} streams[] = {
	{"%ju:%ju", 0, true},   {"%ju:%ju", 1, false},  {"%ju:%ju ", 0, false},
	{"%ju:%jux", 0, false}, {"%ju %ju", 0, false},  {"%ju", 0, false},
	{"", 0, false},         {"1%ju:%ju", 0, false},
};

START_TEST(test_stream)
{
	int fd = memfd_create("stderr", MFD_CLOEXEC);
	char text[100];
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
	snprintf(text, sizeof(text), streams[_i].format, (uintmax_t)st.st_dev,
		 (uintmax_t)st.st_ino + (uintmax_t)streams[_i].ino_off);
#pragma GCC diagnostic pop
	setenv("JOURNAL_STREAM", text, 1);
	ck_assert_int_eq(journal_is(fd), streams[_i].want);
	unsetenv("JOURNAL_STREAM");
	ck_assert(!journal_is(fd));
	close(fd);
}
END_TEST

/* ---- the protocol ---- */

START_TEST(test_fields)
{
	struct journal_entry entry = {.used = 0};

	journal_add_text(&entry, "A", "b=c");
	journal_add_text(&entry, "NONE", NULL);
	journal_add_text(&entry, "EMPTY", "");
	journal_add_number(&entry, "N", 0);
	journal_add_number(&entry, "M", UINT64_MAX);
	journal_add(&entry, "L", "x\ny", 3);
	ck_assert_uint_eq(entry.used, 6 + 4 + 2 + 20 + 1 + 2 + 8 + 3 + 1);
	ck_assert_mem_eq(entry.data,
			 "A=b=c\nN=0\nM=18446744073709551615\nL\n\3\0\0\0\0\0\0\0x\ny\n",
			 entry.used);
}
END_TEST

/* A field that does not fit is left out as a whole; a smaller one may come after it. */
START_TEST(test_room)
{
	struct journal_entry entry = {.used = 0};
	char big[sizeof(entry.data)];

	memset(big, 'x', sizeof(big));
	journal_add(&entry, "A", big, sizeof(big) - 2);
	ck_assert_uint_eq(entry.used, 0);
	journal_add(&entry, "A", big, sizeof(big) - 20);
	ck_assert_uint_eq(entry.used, sizeof(big) - 17);
	journal_add(&entry, "B", big, 15);
	ck_assert_uint_eq(entry.used, sizeof(big) - 17);
	journal_add_text(&entry, "C", "d");
	ck_assert_uint_eq(entry.used, sizeof(big) - 13);
	ck_assert_mem_eq(entry.data + entry.used - 5, "\nC=d\n", 5);
}
END_TEST

/* ---- lines ---- */

START_TEST(test_plain_line)
{
	start();
	log_set_instance("main");
	log_warning("%s: %d", "text", 7);
	take();
	expect("MESSAGE", "text: 7");
	expect("PRIORITY", "4");
	expect("SYSLOG_IDENTIFIER", "preforkd");
	expect("PREFORKD_INSTANCE", "main");
	expect("MESSAGE_ID", NULL);
	expect("PREFORKD_SERVICE", NULL);
	expect("PREFORKD_WORKER", NULL);
	ck_assert(!journald_take(&journald));
	end();
}
END_TEST

START_TEST(test_event)
{
	const struct log_about about = {.service = "echo",
					.address = "tcp://*:7",
					.source = "192.0.2.1:4711",
					.worker = 42,
					.timed = true,
					.counted = true,
					.duration_usec = 0,
					.bytes_in = 5,
					.bytes_out = 0};

	start();
	log_event(LOG_LEVEL_INFO, MESSAGE_connection, &about, "client");
	take();
	expect("MESSAGE", "client");
	expect("MESSAGE_ID", "610e716c9caf4960804f4b6ca8f14711");
	expect("PREFORKD_SERVICE", "echo");
	expect("PREFORKD_ADDRESS", "tcp://*:7");
	expect("PREFORKD_SOURCE", "192.0.2.1:4711");
	expect("PREFORKD_WORKER", "42");
	expect("PREFORKD_DURATION_USEC", "0");
	expect("PREFORKD_BYTES_IN", "5");
	expect("PREFORKD_BYTES_OUT", "0");
	end();
}
END_TEST

/* What is not known is no field. */
START_TEST(test_event_about_little)
{
	const struct log_about about = {.service = "echo", .duration_usec = 1, .bytes_in = 1};

	start();
	log_event(LOG_LEVEL_INFO, MESSAGE_started, &about, "x");
	take();
	expect("PREFORKD_SERVICE", "echo");
	expect("PREFORKD_ADDRESS", NULL);
	expect("PREFORKD_SOURCE", NULL);
	expect("PREFORKD_WORKER", NULL);
	expect("PREFORKD_DURATION_USEC", NULL);
	expect("PREFORKD_BYTES_IN", NULL);
	expect("PREFORKD_BYTES_OUT", NULL);
	end();
}
END_TEST

START_TEST(test_subject)
{
	char pid[20];

	start();
	log_set_subject("echo", "unix:///run/a\nb");
	log_info("one\nPRIORITY=0\x1b[2J");
	take();
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	expect("MESSAGE", "service \"echo\" [unix:///run/a\\nb]: one\\nPRIORITY=0\\x1b[2J");
	expect("PRIORITY", "6");
	expect("PREFORKD_SERVICE", "echo");
	expect("PREFORKD_ADDRESS", "unix:///run/a\nb");
	expect("PREFORKD_WORKER", pid);
	end();
}
END_TEST

/* The longest of everything still goes out in one entry. */
START_TEST(test_longest)
{
	char text[4000], name[64], place[300];
	const struct log_about about = {.source = place,
					.worker = 4194304,
					.timed = true,
					.counted = true,
					.duration_usec = UINT64_MAX,
					.bytes_in = UINT64_MAX,
					.bytes_out = UINT64_MAX};

	memset(text, 't', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	memset(place, 'p', sizeof(place));
	place[sizeof(place) - 1] = '\0';
	start();
	log_set_instance(name);
	log_set_subject(name, place);
	log_event(LOG_LEVEL_ERROR, MESSAGE_worker_died, &about, "%s", text);
	take();
	ck_assert_uint_eq(strlen(journald_field(&journald, "MESSAGE")), 2046);
	expect("PREFORKD_ADDRESS", place);
	expect("PREFORKD_SOURCE", place);
	expect("PREFORKD_BYTES_OUT", "18446744073709551615");
	end();
}
END_TEST

START_TEST(test_keeps_errno)
{
	start();
	errno = ENOENT;
	log_info("%m");
	ck_assert_int_eq(errno, ENOENT);
	take();
	expect("MESSAGE", "No such file or directory");
	journald_end(&journald);
	errno = EDOM;
	log_info("nobody reads this");
	ck_assert_int_eq(errno, EDOM);
}
END_TEST

START_TEST(test_levels)
{
	start();
	log_set_level(LOG_LEVEL_NOTICE);
	log_info("not wanted");
	log_event(LOG_LEVEL_DEBUG, MESSAGE_started, NULL, "not wanted");
	log_notice("wanted");
	take();
	expect("MESSAGE", "wanted");
	ck_assert(!journald_take(&journald));
	end();
}
END_TEST

START_TEST(test_nobody_there)
{
	log_open("preforkd", LOG_LEVEL_INFO);
	errno = 0;
	ck_assert_int_eq(log_use_journal("/nonexistent/socket"), -1);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_int_eq(log_descriptor(), -1);
}
END_TEST

/* journald's socket unit was stopped and started: another socket at the same path. */
START_TEST(test_new_socket)
{
	_Atomic uint64_t lost = 0;

	start();
	log_count_losses(&lost);
	log_info("one");
	close(journald.fd);
	log_info("lost");
	ck_assert_uint_eq(lost, 1);
	journald_listen(&journald);
	log_info("two");
	take();
	expect("MESSAGE", "two");
	take();
	expect("MESSAGE", "1 lines of the log were lost");
	ck_assert_uint_eq(lost, 1);
	end();
}
END_TEST

/* A child's connection is its own: what it does to it does not touch its parent's. */
START_TEST(test_part)
{
	pid_t child;
	int status, before;

	start();
	before = log_descriptor();
	ck_assert_int_ne(fcntl(before, F_GETFD) & FD_CLOEXEC, 0);
	child = fork();
	if (child == 0) {
		log_part();
		log_info("child");
		_exit(shutdown(log_descriptor(), SHUT_RDWR) ? 1 : 0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	log_info("parent");
	take();
	expect("MESSAGE", "child");
	take();
	expect("MESSAGE", "parent");
	end();
}
END_TEST

/* Gone when the child looks for it: the child has stderr. */
START_TEST(test_part_without)
{
	int file = memfd_create("stderr", MFD_CLOEXEC), status;
	char text[100] = "";
	pid_t child;

	start();
	journald_end(&journald);
	child = fork();
	if (child == 0) {
		dup2(file, STDERR_FILENO);
		log_part();
		log_info("child");
		_exit(log_descriptor() == -1 ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	ck_assert_int_gt(pread(file, text, sizeof(text) - 1, 0), 0);
	ck_assert_str_eq(text, "<6>child\n");
}
END_TEST

static Suite *journal_suite(void)
{
	Suite *suite = suite_create("base/journal");
	TCase *core = tcase_create("core");

	tcase_add_loop_test(core, test_stream, 0, sizeof(streams) / sizeof(streams[0]));
	tcase_add_test(core, test_fields);
	tcase_add_test(core, test_room);
	tcase_add_test(core, test_plain_line);
	tcase_add_test(core, test_event);
	tcase_add_test(core, test_event_about_little);
	tcase_add_test(core, test_subject);
	tcase_add_test(core, test_longest);
	tcase_add_test(core, test_keeps_errno);
	tcase_add_test(core, test_levels);
	tcase_add_test(core, test_nobody_there);
	tcase_add_test(core, test_new_socket);
	tcase_add_test(core, test_part);
	tcase_add_test(core, test_part_without);
	suite_add_tcase(suite, core);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(journal_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
