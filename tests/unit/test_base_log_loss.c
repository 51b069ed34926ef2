/* SPDX-License-Identifier: ISC */
/* A reader that has stalled: nothing waits for it, and what it missed is counted and said. */
#include <config.h>

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/log.h"
#include "test_base_journal.h"

#define LINES 5000

static void log_all(_Atomic uint64_t *lost, int count)
{
	log_count_losses(lost);
	for (int i = 0; i < count; i++)
		log_info("line %d", i);
}

START_TEST(test_journal)
{
	_Atomic uint64_t lost = 0;
	struct journald journald;
	uint64_t came = 0;
	char note[100];

	journald_start(&journald);
	log_open("preforkd", LOG_LEVEL_INFO);
	ck_assert_int_eq(log_use_journal(journald.path), 0);
	log_all(&lost, LINES);
	ck_assert_uint_gt(lost, 0);
	while (journald_take(&journald))
		came++;
	ck_assert_uint_gt(came, 0);
	ck_assert_uint_eq(came + lost, LINES);
	log_info("again");
	ck_assert(journald_take(&journald));
	journald_expect(&journald, "MESSAGE", "again");
	ck_assert(journald_take(&journald));
	snprintf(note, sizeof(note), "%llu lines of the log were lost", (unsigned long long)lost);
	journald_expect(&journald, "MESSAGE", note);
	journald_expect(&journald, "MESSAGE_ID", "89a181a4731b4d28b5ef44da81810963");
	journald_expect(&journald, "PRIORITY", "4");
	log_info("said once");
	ck_assert(journald_take(&journald));
	ck_assert(!journald_take(&journald));
	journald_end(&journald);
}
END_TEST

/* How many lines are there to read, and what the last one is. */
static uint64_t read_lines(int fd, char *last, size_t room)
{
	static char text[1 << 22];
	size_t size = 0;
	uint64_t lines = 0;
	ssize_t n;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while ((n = read(fd, text + size, sizeof(text) - 1 - size)) > 0)
		size += (size_t)n;
	text[size] = '\0';
	last[0] = '\0';
	for (char *p = text; *p;) {
		char *end = strchr(p, '\n');

		ck_assert_msg(end != NULL, "a line without an end: %s", p);
		snprintf(last, room, "%.*s", (int)(end - p), p);
		lines++;
		p = end + 1;
	}
	return lines;
}

/* A stream socket, as journald's is, and a pipe. */
static void open_stderr(int kind, int ends[2])
{
	if (kind == 0)
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	else
		ck_assert_int_eq(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	unsetenv("JOURNAL_STREAM");
	log_open("preforkd", LOG_LEVEL_INFO);
}

START_TEST(test_stream)
{
	_Atomic uint64_t lost = 0;
	int ends[2];
	uint64_t came;
	char last[200], want[200];

	open_stderr(_i, ends);
	log_all(&lost, LINES);
	came = read_lines(ends[0], last, sizeof(last));
	ck_assert_uint_gt(lost, 0);
	ck_assert_uint_gt(came, 0);
	ck_assert_uint_eq(came + lost, LINES);
	log_info("again");
	ck_assert_uint_eq(read_lines(ends[0], last, sizeof(last)), 2);
	snprintf(want, sizeof(want), "<4>preforkd[%d]: %llu lines of the log were lost",
		 (int)getpid(), (unsigned long long)lost);
	ck_assert_str_eq(last, want);
	log_info("said once");
	ck_assert_uint_eq(read_lines(ends[0], last, sizeof(last)), 1);
	ck_assert_uint_eq(lost + came, LINES);
}
END_TEST

START_TEST(test_nobody)
{
	_Atomic uint64_t lost = 0;
	int ends[2];

	signal(SIGPIPE, SIG_IGN);
	open_stderr(_i, ends);
	close(ends[0]);
	log_all(&lost, 3);
	ck_assert_uint_eq(lost, 3);
	log_count_losses(NULL);
	log_info("not counted");
	ck_assert_uint_eq(lost, 3);
}
END_TEST

static Suite *loss_suite(void)
{
	Suite *suite = suite_create("base/log, losses");
	TCase *core = tcase_create("core");

	tcase_add_test(core, test_journal);
	tcase_add_loop_test(core, test_stream, 0, 2);
	tcase_add_loop_test(core, test_nobody, 0, 2);
	suite_add_tcase(suite, core);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(loss_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
