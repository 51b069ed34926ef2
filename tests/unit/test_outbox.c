/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "master/outbox.h"

#define SECOND UINT64_C(1000000)

static struct sockaddr_un address = {.sun_family = AF_UNIX};
static char directory[] = "/tmp/preforkd-outbox-XXXXXX";
static sd_event *event;
static struct outbox *outbox;
static int receiver;

static void open_receiver(void)
{
	receiver = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(receiver, 0);
	ck_assert_int_eq(bind(receiver, (struct sockaddr *)&address, sizeof(address)), 0);
}

static void close_receiver(void)
{
	fd_close(&receiver);
	unlink(address.sun_path);
}

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", directory);
	open_receiver();
	ck_assert_int_ge(sd_event_new(&event), 0);
	ck_assert_int_eq(outbox_open(&outbox, address.sun_path, event), 0);
}

static void teardown(void)
{
	outbox_free(outbox);
	outbox = NULL;
	event = sd_event_unref(event);
	close_receiver();
	rmdir(directory);
	memcpy(directory + strlen(directory) - 6, "XXXXXX", 6);
}

static void tell(enum outbox_kind kind, const char *text)
{
	ck_assert_int_eq(outbox_send(outbox, kind, text, -1), 0);
}

/* Until nothing goes through any more. */
static unsigned fill(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unsigned count = 0;

	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	while (send(fd, "other", 5, 0) == 5)
		count++;
	ck_assert_int_eq(errno, EAGAIN);
	close(fd);
	return count;
}

/* The next message and its descriptor, "" when there is none. */
static const char *receive_with(int *fd)
{
	static char text[256];
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec data = {text, sizeof(text) - 1};
	struct msghdr message = {.msg_iov = &data,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(receiver, &message, MSG_CMSG_CLOEXEC);

	*fd = -1;
	text[n > 0 ? n : 0] = '\0';
	if (n > 0 && CMSG_FIRSTHDR(&message))
		memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(*fd));
	return text;
}

static const char *receive(void)
{
	const char *text;
	int fd;

	text = receive_with(&fd);
	ck_assert_int_eq(fd, -1);
	return text;
}

static void receive_others(unsigned count)
{
	while (count-- > 0)
		ck_assert_str_eq(receive(), "other");
}

/* The loop, until a message came. */
static const char *wait_for_one(void)
{
	const char *text;

	for (int i = 0; i < 1000; i++) {
		text = receive();
		if (*text)
			return text;
		ck_assert_int_gt(sd_event_run(event, SECOND), 0);
	}
	ck_abort_msg("nothing came");
}

static void assert_received(const char *const *texts)
{
	for (; *texts; texts++)
		ck_assert_str_eq(wait_for_one(), *texts);
	ck_assert_int_ge(sd_event_run(event, 0), 0);
	ck_assert_str_eq(receive(), "");
}
#define ASSERT_RECEIVED(...) assert_received((const char *const[]){__VA_ARGS__, NULL})

START_TEST(test_sent_at_once)
{
	tell(OUTBOX_ORDERED, "READY=1");
	ck_assert_str_eq(receive(), "READY=1");
	tell(OUTBOX_STATUS, "STATUS=a");
	tell(OUTBOX_STATUS, "STATUS=b");
	ck_assert_str_eq(receive(), "STATUS=a");
	ck_assert_str_eq(receive(), "STATUS=b");
	ck_assert(outbox_flush(outbox, 0));
}
END_TEST

START_TEST(test_waits_in_order)
{
	unsigned others = fill();

	for (int i = 0; i < 100; i++) {
		char text[32];

		snprintf(text, sizeof(text), "RELOADING=%d", i);
		tell(OUTBOX_ORDERED, text);
	}
	receive_others(others);
	for (int i = 0; i < 100; i++) {
		char text[32];

		snprintf(text, sizeof(text), "RELOADING=%d", i);
		ck_assert_str_eq(wait_for_one(), text);
	}
	ck_assert(outbox_flush(outbox, 0));
}
END_TEST

START_TEST(test_the_newest_waits)
{
	unsigned others = fill();

	tell(OUTBOX_STATUS, "STATUS=old");
	tell(OUTBOX_WATCHDOG, "WATCHDOG=1");
	tell(OUTBOX_ORDERED, "READY=1");
	tell(OUTBOX_EXTEND, "EXTEND=1");
	tell(OUTBOX_WATCHDOG, "WATCHDOG=2");
	tell(OUTBOX_STATUS, "STATUS=new");
	tell(OUTBOX_EXTEND, "EXTEND=2");
	tell(OUTBOX_ORDERED, "STOPPING=1");
	receive_others(others);
	ASSERT_RECEIVED("READY=1", "WATCHDOG=2", "STATUS=new", "EXTEND=2", "STOPPING=1");
}
END_TEST

/* Two ends of one queue: what comes last is what was last in it, and it goes on after that. */
START_TEST(test_the_only_one_replaced)
{
	unsigned others = fill();

	tell(OUTBOX_STATUS, "STATUS=old");
	tell(OUTBOX_STATUS, "STATUS=new");
	tell(OUTBOX_ORDERED, "READY=1");
	receive_others(others);
	ASSERT_RECEIVED("STATUS=new", "READY=1");
	tell(OUTBOX_ORDERED, "STOPPING=1");
	ASSERT_RECEIVED("STOPPING=1");
}
END_TEST

static void assert_at_rest(void)
{
	for (int i = 0; i < 3; i++)
		sd_event_run(event, 0);
	ck_assert_int_eq(sd_event_run(event, 300000), 0);
}

/* Nobody reads, or all is said: the loop sleeps, it does not spin. */
START_TEST(test_no_spin)
{
	unsigned others = fill();

	tell(OUTBOX_ORDERED, "READY=1");
	assert_at_rest();
	receive_others(others);
	ck_assert_str_eq(wait_for_one(), "READY=1");
	assert_at_rest();
}
END_TEST

static void assert_pipe_came(int writer, const char *text)
{
	int fd;
	char c;

	ck_assert_str_eq(receive_with(&fd), text);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(writer, "x", 1), 1);
	ck_assert_int_eq(read(fd, &c, 1), 1);
	close(fd);
}

START_TEST(test_descriptor)
{
	int pair[2];

	ck_assert_int_eq(pipe(pair), 0);
	ck_assert_int_eq(outbox_send(outbox, OUTBOX_ORDERED, "FDSTORE=1", pair[0]), 0);
	assert_pipe_came(pair[1], "FDSTORE=1");
	close(pair[0]);
	close(pair[1]);
}
END_TEST

START_TEST(test_descriptor_waits)
{
	unsigned others = fill();
	int pair[2];

	ck_assert_int_eq(pipe(pair), 0);
	ck_assert_int_eq(outbox_send(outbox, OUTBOX_ORDERED, "FDSTORE=1", pair[0]), 0);
	/* The caller's own may go. */
	close(pair[0]);
	receive_others(others);
	ck_assert(outbox_flush(outbox, SECOND));
	assert_pipe_came(pair[1], "FDSTORE=1");
	/* And the copy is gone with the message. */
	ck_assert_int_eq(write(pair[1], "x", 1), -1);
	ck_assert_int_eq(errno, EPIPE);
	close(pair[1]);
}
END_TEST

START_TEST(test_withdraw)
{
	unsigned others = fill();
	int pair[2];

	ck_assert_int_eq(pipe(pair), 0);
	tell(OUTBOX_ORDERED, "READY=1");
	ck_assert_int_eq(outbox_send(outbox, OUTBOX_ORDERED, "FDSTORE=1", pair[0]), 0);
	close(pair[0]);
	outbox_withdraw(outbox, "FDSTORE=1");
	ck_assert_int_eq(write(pair[1], "x", 1), -1);
	ck_assert_int_eq(errno, EPIPE);
	tell(OUTBOX_ORDERED, "FDSTOREREMOVE=1");
	receive_others(others);
	ASSERT_RECEIVED("READY=1", "FDSTOREREMOVE=1");
	close(pair[1]);
}
END_TEST

START_TEST(test_receiver_comes_back)
{
	tell(OUTBOX_ORDERED, "READY=1");
	close_receiver();
	tell(OUTBOX_ORDERED, "RELOADING=1");
	tell(OUTBOX_STATUS, "STATUS=old");
	open_receiver();
	tell(OUTBOX_STATUS, "STATUS=new");
	ASSERT_RECEIVED("RELOADING=1", "STATUS=new");
}
END_TEST

START_TEST(test_receiver_dies_with_a_full_queue)
{
	fill();
	tell(OUTBOX_ORDERED, "READY=1");
	close_receiver();
	/* The loop is woken by that. */
	assert_at_rest();
	open_receiver();
	tell(OUTBOX_ORDERED, "STOPPING=1");
	ASSERT_RECEIVED("READY=1", "STOPPING=1");
}
END_TEST

START_TEST(test_receiver_comes_late)
{
	struct outbox *late;

	close_receiver();
	ck_assert_int_eq(outbox_open(&late, address.sun_path, event), 0);
	ck_assert_int_eq(outbox_send(late, OUTBOX_ORDERED, "READY=1", -1), 0);
	ck_assert(!outbox_flush(late, 0));
	open_receiver();
	ck_assert(outbox_flush(late, SECOND));
	ck_assert_str_eq(receive(), "READY=1");
	outbox_free(late);
}
END_TEST

START_TEST(test_flush_is_bounded)
{
	unsigned others = fill();
	uint64_t begun, end;

	tell(OUTBOX_ORDERED, "STOPPING=1");
	sd_event_now(event, CLOCK_MONOTONIC, &begun);
	ck_assert(!outbox_flush(outbox, 50000));
	sd_event_run(event, 0);
	sd_event_now(event, CLOCK_MONOTONIC, &end);
	ck_assert_uint_ge(end - begun, 50000);
	receive_others(others);
	ck_assert(outbox_flush(outbox, 0));
	ck_assert_str_eq(receive(), "STOPPING=1");
}
END_TEST

/* Another process reads meanwhile. */
START_TEST(test_flush_waits)
{
	unsigned others = fill();
	pid_t pid;

	tell(OUTBOX_ORDERED, "STOPPING=1");
	pid = fork();
	if (pid == 0) {
		receive_others(others);
		_exit(0);
	}
	ck_assert(outbox_flush(outbox, 10 * SECOND));
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_str_eq(receive(), "STOPPING=1");
}
END_TEST

/* What can never go holds nothing up. */
START_TEST(test_too_long)
{
	size_t size = 1 << 20;
	char *text = malloc(size);

	memset(text, 'x', size - 1);
	text[size - 1] = '\0';
	ck_assert_int_eq(outbox_send(outbox, OUTBOX_ORDERED, text, -1), -EMSGSIZE);
	fill();
	tell(OUTBOX_STATUS, "STATUS=waits");
	tell(OUTBOX_ORDERED, text);
	tell(OUTBOX_ORDERED, "READY=1");
	for (;;) {
		const char *came = wait_for_one();

		if (strcmp(came, "other") == 0 || strcmp(came, "STATUS=waits") == 0)
			continue;
		ck_assert_str_eq(came, "READY=1");
		break;
	}
	free(text);
}
END_TEST

START_TEST(test_abstract)
{
	struct sockaddr_un abstract = {.sun_family = AF_UNIX};
	struct outbox *other;
	char name[64], text[16] = "";
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int length = snprintf(name, sizeof(name), "@preforkd-outbox-%d", (int)getpid());

	memcpy(abstract.sun_path + 1, name + 1, (size_t)length - 1);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&abstract,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)length)),
			 0);
	ck_assert_int_eq(outbox_open(&other, name, event), 0);
	ck_assert_int_eq(outbox_send(other, OUTBOX_ORDERED, "READY=1", -1), 0);
	ck_assert_int_eq(recv(fd, text, sizeof(text) - 1, 0), 7);
	ck_assert_str_eq(text, "READY=1");
	outbox_free(other);
	close(fd);
}
END_TEST

static const struct {
	const char *text;
	size_t length; /* filled up to it */
	int result;
} addresses[] = {
	{"", 0, -EAFNOSUPPORT},
	{"/", 0, -EAFNOSUPPORT},
	{"@", 0, -EAFNOSUPPORT},
	{"notify", 0, -EAFNOSUPPORT},
	{"vsock:2:1", 0, -EAFNOSUPPORT},
	{"/tmp/preforkd-no-such", 107, 0},
	{"/tmp/preforkd-no-such", 108, -ENAMETOOLONG},
	{"@preforkd-no-such", 108, 0},
	{"@preforkd-no-such", 109, -ENAMETOOLONG},
};

START_TEST(test_addresses)
{
	struct outbox *other = NULL;
	char text[128];

	memset(text, 'x', sizeof(text));
	text[addresses[_i].length] = '\0';
	memcpy(text, addresses[_i].text, strlen(addresses[_i].text) + !addresses[_i].length);
	ck_assert_int_eq(outbox_open(&other, text, event), addresses[_i].result);
	outbox_free(other);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("outbox");
	TCase *tcase = tcase_create("outbox");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tcase);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, test_sent_at_once);
	tcase_add_test(tcase, test_waits_in_order);
	tcase_add_test(tcase, test_the_newest_waits);
	tcase_add_test(tcase, test_the_only_one_replaced);
	tcase_add_test(tcase, test_no_spin);
	tcase_add_test(tcase, test_descriptor);
	tcase_add_test(tcase, test_descriptor_waits);
	tcase_add_test(tcase, test_withdraw);
	tcase_add_test(tcase, test_receiver_comes_back);
	tcase_add_test(tcase, test_receiver_dies_with_a_full_queue);
	tcase_add_test(tcase, test_receiver_comes_late);
	tcase_add_test(tcase, test_flush_is_bounded);
	tcase_add_test(tcase, test_flush_waits);
	tcase_add_test(tcase, test_too_long);
	tcase_add_test(tcase, test_abstract);
	tcase_add_loop_test(tcase, test_addresses, 0,
			    (int)(sizeof(addresses) / sizeof(*addresses)));
	signal(SIGPIPE, SIG_IGN);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
