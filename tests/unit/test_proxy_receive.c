/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/address.h"
#include "worker/proxy.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(*(array))))

/* A connection whose one end a proxy has, and the other a worker that trusts it. */
enum kind { TCP, UNIX, PACKETS };
static struct admission admission;
static struct slot slot;
static struct worker_job job;
static int proxy, worker;
static union {
	struct sockaddr any;
	struct sockaddr_un un;
} peer;
static socklen_t peer_len;
static struct proxy_local local;

/* To be freed at the end of a test. */
#define RULES_MADE 8
static struct rules *made[RULES_MADE];
static int made_count;

static const struct rules *make(struct rule rule)
{
	ck_assert_int_lt(made_count, RULES_MADE);
	return made[made_count++] = rules_make(&rule, 1);
}

static void tear_down(void)
{
	while (made_count > 0)
		free(made[--made_count]);
}

static const struct rules *rules_of(const char *text)
{
	char why[RULE_WHY_MAX];
	struct rule rule;

	ck_assert_msg(rule_parse(text, &rule, why) == 0, "%s", why);
	return make(rule);
}

static void connect_tcp(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof(in);

	proxy = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&in, len), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&in, &len), 0);
	ck_assert_int_eq(connect(proxy, (struct sockaddr *)&in, len), 0);
	peer_len = sizeof(peer);
	worker = accept(listener, &peer.any, &peer_len);
	ck_assert_int_ge(worker, 0);
	close(listener);
}

static void begin(enum kind kind, enum proxy_mode mode)
{
	int pair[2];

	job = (struct worker_job){.type = kind == PACKETS ? SOCK_SEQPACKET : SOCK_STREAM,
				  .admission = &admission,
				  .slot = &slot};
	admission = (struct admission){.proxy = mode};
	local = (struct proxy_local){0};
	if (kind == TCP) {
		admission.proxy_from = rules_of("127.0.0.0/8");
		connect_tcp();
		return;
	}
	ck_assert_int_eq(socketpair(AF_UNIX, job.type, 0, pair), 0);
	proxy = pair[0];
	worker = pair[1];
	peer.any.sa_family = AF_UNIX;
	peer_len = sizeof(sa_family_t);
}

static enum connection_field receive_header(void)
{
	return proxy_receive(&job, worker, &peer.any, &peer_len, &local);
}

static void say_bytes(const void *bytes, size_t size)
{
	ck_assert_int_eq(send(proxy, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
}

static void say(const char *text)
{
	say_bytes(text, strlen(text));
}

static void check_peer(const char *source, const char *destination)
{
	char text[ADDRESS_TEXT_MAX];

	ck_assert_str_eq(address_format_peer(&peer.any, peer_len, text), source);
	ck_assert_str_eq(address_format_peer((struct sockaddr *)&local.address, local.len, text),
			 destination);
}

/* What is there for the handler, and then the end. */
static void check_rest(const char *wanted)
{
	char text[1000];
	size_t size = 0;
	ssize_t n;

	shutdown(proxy, SHUT_WR);
	while ((n = recv(worker, text + size, sizeof(text) - size - 1, 0)) > 0)
		size += (size_t)n;
	ck_assert_int_eq(n, 0);
	text[size] = '\0';
	ck_assert_str_eq(text, wanted);
}

#define LINE       "PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n"
#define V2(family) "\r\n\r\n\0\r\nQUIT\n\x21" family
#define V2_INET    V2("\x11") "\x00\x0c\xc0\0\x02\x01\xc0\0\x02\x02\x12\x67\0\x50"
#define V2_SIZE    28

/* ---- all at once ---- */

START_TEST(test_a_header_and_early_data)
{
	begin((enum kind)(_i / 2), PROXY_REQUIRE);
	if (_i % 2)
		say(LINE "early");
	else
		say_bytes(V2_INET "early", V2_SIZE + 5);
	ck_assert_int_eq(receive_header(), CONN_finished);
	check_peer("192.0.2.1:4711", "192.0.2.2:80");
	check_rest("early");
}
END_TEST

START_TEST(test_a_header_in_a_packet)
{
	char buffer[10];

	begin(PACKETS, PROXY_REQUIRE);
	say(LINE);
	say("early");
	ck_assert_int_eq(receive_header(), CONN_finished);
	check_peer("192.0.2.1:4711", "192.0.2.2:80");
	ck_assert_int_eq(recv(worker, buffer, sizeof(buffer), 0), 5);
}
END_TEST

/* The rest of the packet would be lost; a header in two of them is none. */
START_TEST(test_packets)
{
	begin(PACKETS, PROXY_REQUIRE);
	say(LINE "early");
	ck_assert_int_eq(receive_header(), CONN_refused_proxy);
	begin(PACKETS, PROXY_ACCEPT);
	say("PROXY TCP4 192.0.2.1 192.0.2.2 ");
	say("4711 80\r\n");
	ck_assert_int_eq(receive_header(), CONN_refused_proxy);
	begin(PACKETS, PROXY_ACCEPT);
	say("PRO");
	ck_assert_int_eq(receive_header(), CONN_finished);
	check_rest("PRO");
}
END_TEST

START_TEST(test_the_longest_header)
{
	static char bytes[PROXY_HEADER_MAX + 5];
	size_t room = PROXY_HEADER_MAX - 16;

	memcpy(bytes, V2("\x00"), 14);
	bytes[14] = (char)(room >> 8);
	bytes[15] = (char)room;
	memcpy(bytes + PROXY_HEADER_MAX, "early", 5);
	begin((enum kind)_i, PROXY_REQUIRE);
	say_bytes(bytes, sizeof(bytes));
	ck_assert_int_eq(receive_header(), CONN_finished);
	ck_assert_int_eq(local.len, 0);
	check_rest("early");
}
END_TEST

/* A health check, or a proxy that knows nothing: it is its own client. */
START_TEST(test_nothing_announced)
{
	char before[ADDRESS_TEXT_MAX], after[ADDRESS_TEXT_MAX];

	begin((enum kind)_i, PROXY_REQUIRE);
	address_format_peer(&peer.any, peer_len, before);
	say("PROXY UNKNOWN\r\nearly");
	ck_assert_int_eq(receive_header(), CONN_finished);
	ck_assert_str_eq(address_format_peer(&peer.any, peer_len, after), before);
	ck_assert_int_eq(local.len, 0);
	check_rest("early");
}
END_TEST

/* ---- dribbling ---- */

struct dribble {
	const char *bytes;
	size_t size;
	const struct timespec pause;
};

static void *dribble(void *argument)
{
	struct dribble *d = argument;

	for (size_t i = 0; i < d->size; i++) {
		nanosleep(&d->pause, NULL);
		(void)!send(proxy, d->bytes + i, 1, MSG_NOSIGNAL);
	}
	return NULL;
}

static void receive_dribbled(const char *bytes, size_t size, enum connection_field wanted)
{
	struct dribble d = {bytes, size, {.tv_nsec = 100000}};
	pthread_t thread;

	pthread_create(&thread, NULL, dribble, &d);
	ck_assert_int_eq(receive_header(), wanted);
	pthread_join(thread, NULL);
}

START_TEST(test_dribbling)
{
	begin((enum kind)(_i / 2), PROXY_ACCEPT);
	if (_i % 2)
		receive_dribbled(LINE "early", strlen(LINE "early"), CONN_finished);
	else
		receive_dribbled(V2_INET "early", V2_SIZE + 5, CONN_finished);
	check_peer("192.0.2.1:4711", "192.0.2.2:80");
	check_rest("early");
}
END_TEST

/* Until the last byte it could have been one. */
START_TEST(test_dribbling_something_else)
{
	begin((enum kind)_i, PROXY_ACCEPT);
	receive_dribbled("PROXIES", 7, CONN_finished);
	check_rest("PROXIES");
	begin((enum kind)_i, PROXY_REQUIRE);
	receive_dribbled("PROXIES", 7, CONN_refused_proxy);
}
END_TEST

static void on_alarm(int number)
{
	(void)number;
}

/* The stop is one: it must not cost a client that was accepted. */
START_TEST(test_signals)
{
	const struct itimerval often = {{0, 50}, {0, 50}}, never = {0};
	struct sigaction action = {.sa_handler = on_alarm};

	sigaction(SIGALRM, &action, NULL);
	begin((enum kind)_i, PROXY_REQUIRE);
	setitimer(ITIMER_REAL, &often, NULL);
	receive_dribbled(LINE "early", strlen(LINE "early"), CONN_finished);
	setitimer(ITIMER_REAL, &never, NULL);
	check_rest("early");
}
END_TEST

/* Each of its pieces takes room in the socket, for which there is a limit. */
START_TEST(test_dribbling_a_long_one)
{
	static char bytes[16 + 1000 + 5] = V2("\x00") "\x03\xe8";

	memcpy(bytes + 16 + 1000, "early", 5);
	begin((enum kind)_i, PROXY_REQUIRE);
	receive_dribbled(bytes, sizeof(bytes), CONN_finished);
	check_rest("early");
}
END_TEST

static double cpu_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void *leave_later(void *argument)
{
	const struct timespec pause = {.tv_nsec = 300000000};

	(void)argument;
	nanosleep(&pause, NULL);
	shutdown(proxy, SHUT_WR);
	return NULL;
}

/* A part that is there is no reason to look again; the end is. */
START_TEST(test_no_spinning)
{
	pthread_t thread;
	double begun;

	begin((enum kind)(_i / 2), PROXY_REQUIRE);
	say(_i % 2 ? "PROXY TCP4 " : "PRO");
	pthread_create(&thread, NULL, leave_later, NULL);
	begun = cpu_seconds();
	ck_assert_int_eq(receive_header(), CONN_refused_proxy);
	ck_assert(cpu_seconds() - begun < 0.1);
	pthread_join(thread, NULL);
}
END_TEST

/* ---- those without a header ---- */

START_TEST(test_something_else)
{
	begin((enum kind)_i, PROXY_ACCEPT);
	say("GET / HTTP/1.0\r\n");
	ck_assert_int_eq(receive_header(), CONN_finished);
	check_rest("GET / HTTP/1.0\r\n");
	begin((enum kind)_i, PROXY_REQUIRE);
	say("GET / HTTP/1.0\r\n");
	ck_assert_int_eq(receive_header(), CONN_refused_proxy);
}
END_TEST

START_TEST(test_a_bad_header)
{
	begin((enum kind)_i, PROXY_ACCEPT);
	say("PROXY TCP4 192.0.2.1 192.0.2.2 4711 080\r\n");
	ck_assert_int_eq(receive_header(), CONN_refused_proxy);
}
END_TEST

static const struct {
	const char *bytes;
	size_t size;
	bool begun; /* so far that it can be nothing else */
} ends[] = {
	{"", 0, false},   {"P", 1, false},      {"PROX", 4, false},  {"PROXY", 5, true},
	{LINE, 39, true}, {V2_INET, 11, false}, {V2_INET, 12, true}, {V2_INET, V2_SIZE - 1, true},
};

/* Before the header does. */
START_TEST(test_an_end)
{
	for (enum kind kind = TCP; kind <= UNIX; kind++)
		for (enum proxy_mode mode = PROXY_ACCEPT; mode <= PROXY_REQUIRE; mode++) {
			bool taken = mode == PROXY_ACCEPT && !ends[_i].begun;

			begin(kind, mode);
			if (ends[_i].size > 0)
				say_bytes(ends[_i].bytes, ends[_i].size);
			shutdown(proxy, SHUT_WR);
			ck_assert_int_eq(receive_header(),
					 taken ? CONN_finished : CONN_refused_proxy);
			if (taken && ends[_i].size < 11)
				check_rest(ends[_i].bytes);
		}
}
END_TEST

/* While it waits, with a part of a header or without; what the part would have become is not known.
 */
static void *reset_later(void *argument)
{
	const struct timespec pause = {.tv_nsec = 50000000};
	const struct linger now = {1, 0};

	(void)argument;
	nanosleep(&pause, NULL);
	setsockopt(proxy, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(proxy);
	return NULL;
}

START_TEST(test_a_reset)
{
	enum connection_field outcome;
	pthread_t thread;

	begin(TCP, PROXY_REQUIRE);
	if (_i > 0)
		say("PROXY TCP4 ");
	pthread_create(&thread, NULL, reset_later, NULL);
	outcome = receive_header();
	pthread_join(thread, NULL);
	ck_assert_int_eq(outcome, CONN_aborted_error);
}
END_TEST

/* ---- whom it is taken from ---- */

START_TEST(test_untrusted)
{
	const struct rules *other = rules_of("10.0.0.0/8");

	begin(TCP, PROXY_ACCEPT);
	admission.proxy_from = other;
	say(LINE);
	ck_assert_int_eq(receive_header(), CONN_finished);
	ck_assert_int_eq(peer.any.sa_family, AF_INET);
	ck_assert_int_eq(local.len, 0);
	check_rest(LINE);
	begin(TCP, PROXY_REQUIRE);
	admission.proxy_from = other;
	say(LINE);
	ck_assert_int_eq(receive_header(), CONN_refused_proxy);
	/* nobody is trusted */
	begin(TCP, PROXY_REQUIRE);
	admission.proxy_from = NULL;
	ck_assert_int_eq(receive_header(), CONN_refused_proxy);
}
END_TEST

/* Who may connect is the socket's permissions' business, unless users are named. */
START_TEST(test_users)
{
	struct rule rule = {.kind = RULE_USER};

	for (unsigned other = 0; other <= 1; other++) {
		rule.first.low = rule.last.low = geteuid() + other;
		begin(UNIX, PROXY_REQUIRE);
		admission.proxy_from = make(rule);
		say(LINE);
		ck_assert_int_eq(receive_header(), other ? CONN_refused_proxy : CONN_finished);
	}
	begin(UNIX, PROXY_REQUIRE);
	admission.proxy_from = rules_of("10.0.0.0/8");
	say(LINE);
	ck_assert_int_eq(receive_header(), CONN_finished);
	check_peer("192.0.2.1:4711", "192.0.2.2:80");
}
END_TEST

START_TEST(test_off)
{
	begin(TCP, PROXY_OFF);
	say(LINE);
	ck_assert_int_eq(receive_header(), CONN_finished);
	check_rest(LINE);
}
END_TEST

static Suite *receive_suite(void)
{
	Suite *suite = suite_create("proxy_receive");
	TCase *receive = tcase_create("receive");

	tcase_add_checked_fixture(receive, NULL, tear_down);
	tcase_add_loop_test(receive, test_a_header_and_early_data, 0, 4);
	tcase_add_test(receive, test_a_header_in_a_packet);
	tcase_add_test(receive, test_packets);
	tcase_add_loop_test(receive, test_the_longest_header, TCP, UNIX + 1);
	tcase_add_loop_test(receive, test_nothing_announced, TCP, UNIX + 1);
	tcase_add_loop_test(receive, test_dribbling, 0, 4);
	tcase_add_loop_test(receive, test_dribbling_something_else, TCP, UNIX + 1);
	tcase_add_loop_test(receive, test_signals, TCP, UNIX + 1);
	tcase_add_loop_test(receive, test_dribbling_a_long_one, TCP, UNIX + 1);
	tcase_add_loop_test(receive, test_no_spinning, 0, 4);
	tcase_add_loop_test(receive, test_something_else, TCP, UNIX + 1);
	tcase_add_loop_test(receive, test_a_bad_header, TCP, UNIX + 1);
	tcase_add_loop_test(receive, test_an_end, 0, COUNT(ends));
	tcase_add_loop_test(receive, test_a_reset, 0, 2);
	tcase_add_test(receive, test_untrusted);
	tcase_add_test(receive, test_users);
	tcase_add_test(receive, test_off);
	suite_add_tcase(suite, receive);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(receive_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
