/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "worker/loop.h"
#include "worker/prestart_program.h"
#include "worker/waiting.h"

#define ROUNDS 3000
#define NEVER  UINT64_MAX

static int listener;
static struct sockaddr_in place = {.sin_family = AF_INET};
static pid_t other; /* a process that sends signals, or comes as a client */

static void set_up(void)
{
	socklen_t len = sizeof(place);
	struct error err;
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&place, len), 0);
	ck_assert_int_eq(listen(listener, 100), 0);
	getsockname(listener, (struct sockaddr *)&place, &len);
	ck_assert_int_eq(waiting_open(listener, &err), 0);
	other = -1;
}

static void tear_down(void)
{
	waiting_close();
	close(listener);
	if (other > 0) {
		kill(other, SIGKILL);
		waitpid(other, NULL, 0);
	}
}

static int wait_for(bool input, uint64_t until)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	return waiting_accept((struct sockaddr *)&peer, &len, &input, until);
}

static bool take(int signal)
{
	const struct timespec none = {0};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signal);
	return sigtimedwait(&set, NULL, &none) == signal;
}

static int connect_client(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(connect(fd, (struct sockaddr *)&place, sizeof(place)), 0);
	return fd;
}

static void expect_client(void)
{
	int client = connect_client(), fd = wait_for(true, NEVER);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	close(client);
}

START_TEST(test_client)
{
	for (int i = 0; i < 3; i++)
		expect_client();
	ck_assert_int_eq(fcntl(listener, F_GETFD), FD_CLOEXEC);
}
END_TEST

static const int passed_on[] = {SIGTERM, SIGCHLD, SIGVTALRM};

START_TEST(test_signal)
{
	kill(getpid(), passed_on[_i]);
	ck_assert_int_eq(wait_for(true, NEVER), -1);
	ck_assert_int_eq(errno, EINTR);
	ck_assert(take(passed_on[_i]));
	ck_assert_int_eq(fcntl(listener, F_GETFD), FD_CLOEXEC);
	expect_client();
	ck_assert(!take(passed_on[_i]));
}
END_TEST

/* It was for a client that is done. */
START_TEST(test_alarm_is_lost)
{
	kill(getpid(), SIGALRM);
	ck_assert_int_eq(wait_for(true, NEVER), -1);
	ck_assert_int_eq(errno, EINTR);
	ck_assert(!take(SIGALRM));
	expect_client();
}
END_TEST

START_TEST(test_time)
{
	uint64_t begin = loop_now();

	ck_assert_int_eq(wait_for(true, begin + 50000), -1);
	ck_assert_int_eq(errno, EINTR);
	ck_assert_uint_ge(loop_now(), begin + 50000);
	/* One that is over already. */
	ck_assert_int_eq(wait_for(true, 0), -1);
	ck_assert_int_eq(errno, EINTR);
	expect_client();
}
END_TEST

START_TEST(test_input)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	bool input = true;
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(waiting_watch(fds[0]), 0);
	ck_assert_int_eq(write(fds[1], "x", 1), 1);
	ck_assert_int_eq(waiting_accept((struct sockaddr *)&peer, &len, &input, NEVER), -1);
	ck_assert_int_eq(errno, EINTR);
	ck_assert(input);
	/* Not wanted now, it ends the next wait that wants it. */
	ck_assert_int_eq(write(fds[1], "x", 1), 1);
	input = false;
	ck_assert_int_eq(waiting_accept((struct sockaddr *)&peer, &len, &input, loop_now() + 20000),
			 -1);
	ck_assert(!input);
	input = true;
	ck_assert_int_eq(waiting_accept((struct sockaddr *)&peer, &len, &input, NEVER), -1);
	ck_assert(input);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

/* Who gets a client has it, and is told of the signal all the same. */
START_TEST(test_client_and_signal)
{
	int client = connect_client(), fd;

	kill(getpid(), SIGTERM);
	fd = wait_for(true, NEVER);
	if (fd < 0) { /* the signal was first: the client waits */
		ck_assert(take(SIGTERM));
		fd = wait_for(true, NEVER);
	}
	ck_assert_int_ge(fd, 0);
	close(fd);
	close(client);
}
END_TEST

static void pause_at_random(unsigned *seed)
{
	const struct timespec t = {.tv_nsec = rand_r(seed) % 100000};

	nanosleep(&t, NULL);
}

/* Each signal answers the one before: one that is lost is one too few, for ever. */
START_TEST(test_no_signal_is_lost)
{
	int back[2];
	char byte = 0;

	ck_assert_int_eq(pipe(back), 0);
	other = fork();
	if (other == 0) {
		unsigned seed = 1;

		for (int i = 0; i < ROUNDS; i++) {
			pause_at_random(&seed);
			kill(getppid(), SIGTERM);
			if (read(back[0], &byte, 1) != 1)
				_exit(1);
		}
		_exit(0);
	}
	for (int i = 0; i < ROUNDS;) {
		ck_assert_int_eq(wait_for(true, NEVER), -1);
		ck_assert_int_eq(errno, EINTR);
		if (!take(SIGTERM))
			continue; /* the other's end */
		ck_assert_int_eq(write(back[1], &byte, 1), 1);
		i++;
	}
	close(back[0]);
	close(back[1]);
}
END_TEST

static void come_as_clients(void)
{
	unsigned seed = 2;
	char byte;

	for (int i = 0; i < ROUNDS; i++) {
		int fd = connect_client();

		if (recv(fd, &byte, 1, 0) != 1)
			_exit(1);
		close(fd);
		kill(getppid(), SIGVTALRM);
		pause_at_random(&seed);
	}
	_exit(0);
}

START_TEST(test_no_client_is_lost)
{
	int served = 0;

	other = fork();
	if (other == 0)
		come_as_clients();
	while (served < ROUNDS) {
		int fd = wait_for(true, NEVER);

		if (fd < 0) {
			ck_assert_int_eq(errno, EINTR);
			ck_assert(!take(SIGCHLD));
			take(SIGVTALRM);
			continue;
		}
		ck_assert_int_eq(send(fd, "x", 1, MSG_NOSIGNAL), 1);
		close(fd);
		served++;
	}
}
END_TEST

START_TEST(test_pause)
{
	const uint64_t msec = 1000, sec = 1000000;
	uint64_t pause = 0;

	for (int i = 0; i < 9; i++) {
		pause = prestart_pause(pause, 5 * msec);
		ck_assert_uint_eq(pause, i < 9 ? (100 * msec) << i : 30 * sec);
	}
	pause = prestart_pause(pause, 29 * sec);
	ck_assert_uint_eq(pause, 30 * sec);
	ck_assert_uint_eq(prestart_pause(pause, 29 * sec), 30 * sec);
	/* One that lived long is a healthy one. */
	ck_assert_uint_eq(prestart_pause(pause, 30 * sec), 100 * msec);
	ck_assert_uint_eq(prestart_pause(0, 0), 100 * msec);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("waiting");
	TCase *tests = tcase_create("waiting"), *pure = tcase_create("pause");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, test_client);
	tcase_add_loop_test(tests, test_signal, 0, 3);
	tcase_add_test(tests, test_alarm_is_lost);
	tcase_add_test(tests, test_time);
	tcase_add_test(tests, test_input);
	tcase_add_test(tests, test_client_and_signal);
	tcase_add_test(tests, test_no_signal_is_lost);
	tcase_add_test(tests, test_no_client_is_lost);
	tcase_set_timeout(tests, 60);
	suite_add_tcase(suite, tests);
	tcase_add_test(pure, test_pause);
	suite_add_tcase(suite, pure);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
