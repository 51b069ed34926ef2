/* SPDX-License-Identifier: ISC */
/* What is said of the store and of a start that failed; the rest is seen from outside. */
#include <config.h>

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "master/notify.h"

static struct sockaddr_un address = {.sun_family = AF_UNIX};
static char directory[] = "/tmp/preforkd-notify-XXXXXX";
static int receiver;
/* Too large for a stack. */
static struct master master;

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", directory);
	receiver = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(bind(receiver, (struct sockaddr *)&address, sizeof(address)), 0);
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	unsetenv("WATCHDOG_USEC");
	ck_assert_int_ge(sd_event_new(&master.event), 0);
}

static void teardown(void)
{
	notify_close(&master);
	master.event = sd_event_unref(master.event);
	close(receiver);
	unlink(address.sun_path);
	rmdir(directory);
	memcpy(directory + strlen(directory) - 6, "XXXXXX", 6);
}

/* Until nothing goes through any more. */
static void fill(void)
{
	while (sendto(receiver, "other", 5, 0, (struct sockaddr *)&address, sizeof(address)) == 5)
		;
	ck_assert_int_eq(errno, EAGAIN);
}

/* The next message that is not of fill(), and its descriptor or -1. "" when there is none. */
static const char *receive(int *fd)
{
	static char text[2048];
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec data = {text, sizeof(text) - 1};
	ssize_t n;

	do {
		struct msghdr message = {.msg_iov = &data,
					 .msg_iovlen = 1,
					 .msg_control = &control,
					 .msg_controllen = sizeof(control)};

		n = recvmsg(receiver, &message, MSG_CMSG_CLOEXEC);
		*fd = -1;
		text[n > 0 ? n : 0] = '\0';
		if (n > 0 && CMSG_FIRSTHDR(&message))
			memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(*fd));
	} while (strcmp(text, "other") == 0);
	return text;
}

static void assert_said(const char *expected)
{
	int fd;

	ck_assert_str_eq(receive(&fd), expected);
	ck_assert_int_eq(fd, -1);
}

/* A pipe whose other end is with whoever holds the descriptor that is stored. */
static int store_pipe(const char *name)
{
	int pair[2];

	ck_assert_int_eq(pipe(pair), 0);
	notify_store(&master, name, pair[0]);
	close(pair[0]);
	return pair[1];
}

static void assert_stored(const char *expected, int writer)
{
	int fd;
	char c;

	ck_assert_str_eq(receive(&fd), expected);
	ck_assert_int_eq(write(writer, "x", 1), 1);
	ck_assert_int_eq(read(fd, &c, 1), 1);
	close(fd);
	close(writer);
}

static void assert_nobody_holds(int writer)
{
	ck_assert_int_eq(write(writer, "x", 1), -1);
	ck_assert_int_eq(errno, EPIPE);
	close(writer);
}

START_TEST(test_store)
{
	int writer;

	ck_assert_int_eq(notify_open(&master), 0);
	writer = store_pipe("store.a.1");
	assert_stored("FDSTORE=1\nFDNAME=store.a.1\nFDPOLL=0", writer);
	notify_unstore(&master, "store.a.1");
	assert_said("FDSTOREREMOVE=1\nFDNAME=store.a.1");
	assert_said("");
}
END_TEST

/* Dropped before it was stored: no copy of it stays anywhere. */
START_TEST(test_store_waits)
{
	int one, other;

	ck_assert_int_eq(notify_open(&master), 0);
	fill();
	one = store_pipe("store.a.1");
	other = store_pipe("store.a.11");
	notify_unstore(&master, "store.a.1");
	assert_nobody_holds(one);
	assert_said("");
	ck_assert(notify_flush(&master, 1000000));
	assert_stored("FDSTORE=1\nFDNAME=store.a.11\nFDPOLL=0", other);
	assert_said("FDSTOREREMOVE=1\nFDNAME=store.a.1");
}
END_TEST

START_TEST(test_close_sends_what_waits)
{
	ck_assert_int_eq(notify_open(&master), 0);
	fill();
	notify_stopping(&master);
	assert_said("");
	notify_close(&master);
	assert_said("STOPPING=1\nSTATUS=stopping: connections finish");
	ck_assert_ptr_null(master.notify);
}
END_TEST

static const struct {
	int code;
	const char *text, *said;
} failures[] = {
	{EX_CONFIG, "f:1: what", "STATUS=f:1: what\nERRNO=22"},
	{EX_NOPERM, "what", "STATUS=what\nERRNO=1"},
	{EX_UNAVAILABLE, "what", "STATUS=what"},
	{EX_OSERR, "", "STATUS="},
	/* no second line that would be an assignment */
	{EX_CONFIG, "f:1: what\nREADY=1", "STATUS=f:1: what\nERRNO=22"},
	{EX_OSERR, "a\rb\x1b", "STATUS=a\\x0db\\x1b"},
};

START_TEST(test_failed)
{
	bool open = _i % 2;
	int i = _i / 2;

	if (open)
		ck_assert_int_eq(notify_open(&master), 0);
	notify_failed(&master, failures[i].code, failures[i].text);
	assert_said(failures[i].said);
	assert_said("");
	ck_assert_int_eq(master.notify != NULL, open);
}
END_TEST

START_TEST(test_failed_is_long)
{
	char text[4096];
	int fd;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	notify_failed(&master, EX_CONFIG, text);
	ck_assert_str_eq(strrchr(receive(&fd), 'x') + 1, "...\nERRNO=22");
}
END_TEST

/* Before there is a loop; a watchdog is no reason to fail then. */
START_TEST(test_failed_before_the_loop)
{
	setenv("WATCHDOG_USEC", "1000000", 1);
	master.event = sd_event_unref(master.event);
	notify_failed(&master, EX_CONFIG, "what");
	assert_said("STATUS=what\nERRNO=22");
	ck_assert_ptr_null(master.notify);
}
END_TEST

START_TEST(test_without_a_manager)
{
	int writer;

	unsetenv("NOTIFY_SOCKET");
	ck_assert_int_eq(notify_open(&master), 0);
	ck_assert_ptr_null(master.notify);
	writer = store_pipe("store.a.1");
	assert_nobody_holds(writer);
	notify_unstore(&master, "store.a.1");
	notify_ready(&master);
	notify_reloading(&master);
	notify_status(&master);
	notify_stopping(&master);
	notify_failed(&master, EX_CONFIG, "what");
	ck_assert(notify_flush(&master, 0));
	notify_close(&master);
	assert_said("");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("notify");
	TCase *tcase = tcase_create("notify");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tcase);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, test_store);
	tcase_add_test(tcase, test_store_waits);
	tcase_add_test(tcase, test_close_sends_what_waits);
	tcase_add_loop_test(tcase, test_failed, 0, 2 * (int)(sizeof(failures) / sizeof(*failures)));
	tcase_add_test(tcase, test_failed_is_long);
	tcase_add_test(tcase, test_failed_before_the_loop);
	tcase_add_test(tcase, test_without_a_manager);
	signal(SIGPIPE, SIG_IGN);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
