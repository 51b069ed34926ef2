/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "worker/loop.h"
#include "worker/relay.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(*(array))))
#define BULK         ((size_t)48 << 20)

/* The relay between two pairs of sockets, the ends of which play the client and the program. */
static struct relay relay;
static int client, client_end, program, program_end;
static int bell; /* rung: a run ends after what there is to do at once */

static void tcp_pair(int ends[2])
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(listener, (struct sockaddr *)&in, len), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	getsockname(listener, (struct sockaddr *)&in, &len);
	ends[0] = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(ends[0], (struct sockaddr *)&in, len), 0);
	ends[1] = accept(listener, NULL, NULL);
	ck_assert_int_ge(ends[1], 0);
	close(listener);
}

static void set_up(int type, bool tcp)
{
	/* What should come at once and does not fails the test. */
	const struct timeval patience = {.tv_sec = 20};
	int ends[2];

	if (tcp)
		tcp_pair(ends);
	else
		ck_assert_int_eq(socketpair(AF_UNIX, type, 0, ends), 0);
	client = ends[0];
	client_end = ends[1];
	ck_assert_int_eq(socketpair(AF_UNIX, type, 0, ends), 0);
	program = ends[0];
	program_end = ends[1];
	setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(program, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	ck_assert_int_eq(relay_open(&relay), 0);
	bell = eventfd(0, EFD_NONBLOCK);
	ck_assert_int_eq(relay_watch(&relay, bell), 0);
	ck_assert_int_eq(relay_begin(&relay, client_end, program_end), 0);
}

static void set_up_stream(void)
{
	set_up(SOCK_STREAM, false);
}

static void set_up_tcp(void)
{
	set_up(SOCK_STREAM, true);
}

static void set_up_records(void)
{
	set_up(SOCK_SEQPACKET, false);
}

static void tear_down(void)
{
	relay_end(&relay);
	relay_close(&relay);
	close(client);
	close(client_end);
	close(program);
	close(program_end);
	close(bell);
}

/* Moves what can be moved at once; the loopback delivers before send() returns. */
static enum relay_event settle(void)
{
	enum relay_event event = RELAY_WAKE;
	uint64_t count = 1;

	ck_assert_int_eq(write(bell, &count, sizeof(count)), sizeof(count));
	for (int i = 0; i < 8 && event == RELAY_WAKE; i++)
		event = relay_run(&relay, UINT64_MAX);
	ck_assert_int_eq(read(bell, &count, sizeof(count)), sizeof(count));
	return event;
}

static void say(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void expect(int fd, const char *text)
{
	char got[200];
	ssize_t n = recv(fd, got, strlen(text), MSG_WAITALL);

	ck_assert_int_eq(n, (ssize_t)strlen(text));
	ck_assert_mem_eq(got, text, strlen(text));
}

static void expect_end(int fd)
{
	char byte;

	ck_assert_int_eq(recv(fd, &byte, 1, 0), 0);
}

static void reset(int *fd)
{
	const struct linger now = {.l_onoff = 1};

	setsockopt(*fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(*fd);
	*fd = -1;
}

/* Whatever state it is in, a relay that has nothing to move sleeps. */
static void check_sleeps(void)
{
	struct timespec before, after;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
	ck_assert_int_eq(relay_run(&relay, loop_now() + 100000), RELAY_TIMEOUT);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
	ck_assert_int_lt((after.tv_sec - before.tv_sec) * 1000 +
				 (after.tv_nsec - before.tv_nsec) / 1000000,
			 20);
}

/* As much as goes without a reader on the other side; returns how much. */
static size_t stuff(int fd)
{
	static char block[65536];
	size_t total = 0, last;

	do {
		last = total;
		for (;;) {
			ssize_t n = send(fd, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL);

			if (n < 0)
				break;
			total += (size_t)n;
		}
		ck_assert_int_eq(settle(), RELAY_WAKE);
	} while (total > last);
	return total;
}

START_TEST(test_both_ways)
{
	say(client, "question");
	ck_assert_int_eq(settle(), RELAY_WAKE);
	expect(program, "question");
	say(program, "answer");
	ck_assert_int_eq(settle(), RELAY_WAKE);
	expect(client, "answer");
	ck_assert_uint_eq(relay.in.bytes, strlen("question"));
	ck_assert_uint_eq(relay.out.bytes, strlen("answer"));
	check_sleeps();
}
END_TEST

START_TEST(test_program_first)
{
	say(program, "220 hello");
	ck_assert_int_eq(settle(), RELAY_WAKE);
	expect(client, "220 hello");
}
END_TEST

START_TEST(test_client_ends_first)
{
	say(client, "all");
	shutdown(client, SHUT_WR);
	ck_assert_int_eq(settle(), RELAY_WAKE);
	expect(program, "all");
	expect_end(program);
	check_sleeps();
	say(program, "late ");
	ck_assert_int_eq(settle(), RELAY_WAKE);
	say(program, "answer");
	shutdown(program, SHUT_WR);
	ck_assert_int_eq(settle(), RELAY_CLOSED);
	expect(client, "late answer");
	expect_end(client);
}
END_TEST

START_TEST(test_program_ends_first)
{
	say(program, "bye");
	shutdown(program, SHUT_WR);
	ck_assert_int_eq(settle(), RELAY_WAKE);
	expect(client, "bye");
	expect_end(client);
	check_sleeps();
	say(client, "still reading?");
	ck_assert_int_eq(settle(), RELAY_WAKE);
	expect(program, "still reading?");
	shutdown(client, SHUT_WR);
	ck_assert_int_eq(settle(), RELAY_CLOSED);
	expect_end(program);
}
END_TEST

START_TEST(test_program_closes_unread)
{
	say(client, "never read");
	ck_assert_int_eq(settle(), RELAY_WAKE);
	say(program, "but answered");
	close(program);
	program = -1;
	ck_assert_int_eq(settle(), RELAY_WAKE);
	expect(client, "but answered");
	expect_end(client);
	check_sleeps();
	/* What comes then has nowhere to go. */
	say(client, "more");
	ck_assert_int_eq(settle(), RELAY_CLOSED);
}
END_TEST

START_TEST(test_program_reads_no_more)
{
	shutdown(program, SHUT_RD);
	say(client, "into the void");
	ck_assert_int_eq(settle(), RELAY_WAKE);
	check_sleeps();
	say(program, "heard nothing");
	ck_assert_int_eq(settle(), RELAY_WAKE);
	expect(client, "heard nothing");
	shutdown(program, SHUT_WR);
	ck_assert_int_eq(settle(), RELAY_CLOSED);
	expect_end(client);
}
END_TEST

START_TEST(test_program_never_reads)
{
	stuff(client);
	check_sleeps();
	say(program, "busy");
	ck_assert_int_eq(settle(), RELAY_WAKE);
	expect(client, "busy");
	relay_drain(&relay);
	ck_assert_int_eq(settle(), RELAY_CLOSED);
	expect_end(client);
}
END_TEST

START_TEST(test_client_never_reads)
{
	/* Far less than a program could write. */
	ck_assert_uint_lt(stuff(program), 32 << 20);
	check_sleeps();
	/* The end waits behind what was written. */
	close(program);
	program = -1;
	ck_assert_int_eq(settle(), RELAY_WAKE);
	check_sleeps();
	relay_drain(&relay);
	check_sleeps();
}
END_TEST

START_TEST(test_client_resets)
{
	say(client, "x");
	ck_assert_int_eq(settle(), RELAY_WAKE);
	reset(&client);
	ck_assert_int_eq(settle(), RELAY_BROKEN);
}
END_TEST

START_TEST(test_client_resets_after_its_end)
{
	shutdown(client, SHUT_WR);
	ck_assert_int_eq(settle(), RELAY_WAKE);
	reset(&client);
	ck_assert_int_eq(settle(), RELAY_BROKEN);
}
END_TEST

START_TEST(test_client_resets_while_it_is_waited_for)
{
	stuff(program);
	reset(&client);
	ck_assert_int_eq(settle(), RELAY_BROKEN);
}
END_TEST

START_TEST(test_client_resets_while_program_is_waited_for)
{
	stuff(client);
	reset(&client);
	ck_assert_int_eq(settle(), RELAY_BROKEN);
}
END_TEST

/* On a Unix socket a client that has gone looks like one that has ended, until it is written to. */
START_TEST(test_client_closes)
{
	say(client, "request");
	close(client);
	client = -1;
	ck_assert_int_eq(settle(), RELAY_WAKE);
	expect(program, "request");
	expect_end(program);
	check_sleeps();
	say(program, "answer");
	ck_assert_int_eq(settle(), RELAY_BROKEN);
}
END_TEST

START_TEST(test_drain)
{
	int heir = dup(program); /* of a process that the program left behind */

	say(program, "last words");
	relay_drain(&relay);
	ck_assert_int_eq(settle(), RELAY_CLOSED);
	expect(client, "last words");
	expect_end(client);
	ck_assert_int_eq(send(heir, "x", 1, MSG_NOSIGNAL), -1);
	ck_assert_int_eq(errno, EPIPE);
	close(heir);
}
END_TEST

START_TEST(test_records)
{
	char got[20];

	say(client, "one");
	say(client, "two");
	ck_assert_int_eq(settle(), RELAY_WAKE);
	ck_assert_int_eq(recv(program, got, sizeof(got), 0), 3);
	ck_assert_mem_eq(got, "one", 3);
	ck_assert_int_eq(recv(program, got, sizeof(got), 0), 3);
	ck_assert_mem_eq(got, "two", 3);
	close(program);
	program = -1;
	relay_drain(&relay);
	ck_assert_int_eq(settle(), RELAY_CLOSED);
	expect_end(client);
}
END_TEST

START_TEST(test_deadline)
{
	ck_assert_int_eq(relay_run(&relay, 0), RELAY_TIMEOUT);
	/* What is there is moved first. */
	say(client, "x");
	ck_assert_int_eq(relay_run(&relay, 0), RELAY_TIMEOUT);
	expect(program, "x");
}
END_TEST

static void *talk(void *stop)
{
	static const char words[4096];

	while (!atomic_load((atomic_bool *)stop))
		send(client, words, sizeof(words), MSG_DONTWAIT | MSG_NOSIGNAL);
	return NULL;
}

static void *listen_to(void *stop)
{
	static char words[4096];

	while (!atomic_load((atomic_bool *)stop))
		recv(program, words, sizeof(words), MSG_DONTWAIT);
	return NULL;
}

/* Who never stops talking has the same deadline. */
START_TEST(test_deadline_of_a_busy_one)
{
	atomic_bool stop = false;
	pthread_t talker, listener;
	uint64_t deadline;

	ck_assert_int_eq(pthread_create(&talker, NULL, talk, &stop), 0);
	ck_assert_int_eq(pthread_create(&listener, NULL, listen_to, &stop), 0);
	deadline = loop_now() + 100000;
	ck_assert_int_eq(relay_run(&relay, deadline), RELAY_TIMEOUT);
	ck_assert_uint_ge(loop_now(), deadline);
	atomic_store(&stop, true);
	pthread_join(talker, NULL);
	pthread_join(listener, NULL);
	ck_assert_uint_gt(relay.in.bytes, 0);
}
END_TEST

START_TEST(test_wakes_again_and_again)
{
	ck_assert_int_eq(eventfd_write(bell, 1), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(relay_run(&relay, UINT64_MAX), RELAY_WAKE);
}
END_TEST

/* The next connection finds nothing of the last. */
START_TEST(test_next_connection)
{
	int ends[2];

	stuff(program);
	relay_end(&relay);
	close(client);
	close(client_end);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	client = ends[0];
	client_end = ends[1];
	close(program);
	close(program_end);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	program = ends[0];
	program_end = ends[1];
	ck_assert_int_eq(relay_begin(&relay, client_end, program_end), 0);
	say(client, "next");
	ck_assert_int_eq(settle(), RELAY_WAKE);
	expect(program, "next");
}
END_TEST

/* ---- much at once ---- */

struct stream {
	int fd;
	uint32_t seed;
	bool hesitates;
	size_t total;
	const char *wrong;
};

static char byte_at(size_t position, uint32_t seed)
{
	return (char)((position * 2654435761U + seed) >> 11);
}

static void hesitate(const struct stream *s, unsigned *turn)
{
	const struct timespec moment = {.tv_nsec = 200000};

	if (s->hesitates && (*turn)++ % 16 == 0)
		nanosleep(&moment, NULL);
}

static void *write_bulk(void *argument)
{
	struct stream *s = argument;
	static __thread char block[100000];
	unsigned turn = 0;

	while (s->total < BULK) {
		size_t size = 1 + (s->total * 31 + s->seed) % sizeof(block);
		ssize_t n;

		if (size > BULK - s->total)
			size = BULK - s->total;
		for (size_t i = 0; i < size; i++)
			block[i] = byte_at(s->total + i, s->seed);
		n = send(s->fd, block, size, MSG_NOSIGNAL);
		if (n <= 0) {
			s->wrong = "send";
			break;
		}
		s->total += (size_t)n;
		hesitate(s, &turn);
	}
	shutdown(s->fd, SHUT_WR);
	return NULL;
}

static void *read_bulk(void *argument)
{
	struct stream *s = argument;
	static __thread char block[70000];
	unsigned turn = 0;
	ssize_t n;

	while ((n = recv(s->fd, block, sizeof(block), 0)) > 0) {
		for (ssize_t i = 0; i < n && !s->wrong; i++)
			if (block[i] != byte_at(s->total + (size_t)i, s->seed))
				s->wrong = "bytes";
		s->total += (size_t)n;
		hesitate(s, &turn);
	}
	if (n < 0)
		s->wrong = "recv";
	return NULL;
}

/* Both ways at once, as one way may wait for the other: a program that answers as it reads. Bits of
 * _i: who hesitates. */
START_TEST(test_bulk)
{
	struct stream streams[] = {
		{.fd = client, .seed = 1, .hesitates = _i & 1},
		{.fd = program, .seed = 1, .hesitates = _i & 2},
		{.fd = program, .seed = 2, .hesitates = _i & 1},
		{.fd = client, .seed = 2, .hesitates = _i & 2},
	};
	pthread_t threads[COUNT(streams)];

	for (int i = 0; i < COUNT(streams); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, i % 2 ? read_bulk : write_bulk,
						&streams[i]),
				 0);
	ck_assert_int_eq(relay_run(&relay, loop_now() + 60000000), RELAY_CLOSED);
	for (int i = 0; i < COUNT(streams); i++) {
		pthread_join(threads[i], NULL);
		ck_assert_ptr_null(streams[i].wrong);
		ck_assert_uint_eq(streams[i].total, BULK);
	}
	ck_assert_uint_eq(relay.in.bytes, BULK);
	ck_assert_uint_eq(relay.out.bytes, BULK);
}
END_TEST

static void add_tests(TCase *tests)
{
	tcase_add_test(tests, test_both_ways);
	tcase_add_test(tests, test_program_first);
	tcase_add_test(tests, test_client_ends_first);
	tcase_add_test(tests, test_program_ends_first);
	tcase_add_test(tests, test_program_closes_unread);
	tcase_add_test(tests, test_program_reads_no_more);
	tcase_add_test(tests, test_program_never_reads);
	tcase_add_test(tests, test_client_never_reads);
	tcase_add_test(tests, test_drain);
	tcase_add_test(tests, test_deadline);
	tcase_add_test(tests, test_deadline_of_a_busy_one);
	tcase_add_test(tests, test_wakes_again_and_again);
	tcase_add_test(tests, test_next_connection);
	tcase_add_loop_test(tests, test_bulk, 0, 4);
	tcase_set_timeout(tests, 120);
}

int main(void)
{
	Suite *suite = suite_create("relay");
	TCase *on_unix = tcase_create("unix"), *on_tcp = tcase_create("tcp");
	TCase *records = tcase_create("records");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(on_unix, set_up_stream, tear_down);
	add_tests(on_unix);
	tcase_add_test(on_unix, test_client_closes);
	suite_add_tcase(suite, on_unix);
	tcase_add_checked_fixture(on_tcp, set_up_tcp, tear_down);
	add_tests(on_tcp);
	tcase_add_test(on_tcp, test_client_resets);
	tcase_add_test(on_tcp, test_client_resets_after_its_end);
	tcase_add_test(on_tcp, test_client_resets_while_it_is_waited_for);
	tcase_add_test(on_tcp, test_client_resets_while_program_is_waited_for);
	suite_add_tcase(suite, on_tcp);
	tcase_add_checked_fixture(records, set_up_records, tear_down);
	tcase_add_test(records, test_records);
	suite_add_tcase(suite, records);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
