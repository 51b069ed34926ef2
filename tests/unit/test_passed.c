/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "master/passed.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(*(array))))
#define MOST         8

/* ---- names in the store ---- */

static const struct {
	const char *service, *address, *name;
} names[] = {
	/* What is in a store outlasts versions: these may never change. */
	{"a", "", "store.a.cbf29ce484222325"},
	{"a", "a", "store.a.af63dc4c8601ec8c"},
	{"web", "foobar", "store.web.85944171f73967e8"},
	{"x.y-z_1", "\xff", "store.x.y-z_1.af64724c8602eb6e"},
};

START_TEST(test_names)
{
	char text[PASSED_NAME_MAX];

	ck_assert_str_eq(passed_store_name(names[_i].service, names[_i].address, text),
			 names[_i].name);
}
END_TEST

START_TEST(test_longest_name)
{
	char service[64], address[ADDRESS_TEXT_MAX], text[PASSED_NAME_MAX];

	memset(service, 's', sizeof(service) - 1);
	service[sizeof(service) - 1] = '\0';
	memset(address, 'a', sizeof(address) - 1);
	address[sizeof(address) - 1] = '\0';
	passed_store_name(service, address, text);
	ck_assert_uint_eq(strlen(text), strlen("store.") + 63 + 1 + 16);
}
END_TEST

START_TEST(test_names_differ)
{
	char a[PASSED_NAME_MAX], b[PASSED_NAME_MAX];

	ck_assert_str_ne(passed_store_name("a", "tcp://127.0.0.1:7", a),
			 passed_store_name("a", "tcp://127.0.0.1:8", b));
	ck_assert_str_ne(a, passed_store_name("b", "tcp://127.0.0.1:7", b));
	ck_assert_str_eq(a, passed_store_name("a", "tcp://127.0.0.1:7", b));
}
END_TEST

/* ---- matching ---- */

#define T1 "tcp://127.0.0.1:1"
#define T2 "tcp://127.0.0.1:2"
#define T0 "tcp://127.0.0.1:0"

/*
 * Sockets are NAME=ADDRESS they are bound to; those of the store SERVICE@CONFIGURED=ADDRESS. A ! in
 * front marks one of the wrong type. Wishes are SERVICE=ADDRESS. What each gets is the number of a
 * socket, or -.
 */
static const struct {
	const char *sockets, *wishes, *match;
} matches[] = {
	{"", "", ""},
	{"", "a=" T1, "-"},
	{"n=" T1, "", ""},
	/* a unit's, by what it is bound to; its name means nothing */
	{"n=" T1, "a=" T1, "0"},
	{"n=" T1, "a=" T2, "-"},
	{"n=" T1 " n=" T2, "a=" T2 " b=" T1, "1 0"},
	{"n=" T1 " m=" T2, "a=" T1 " b=" T2, "0 1"},
	{"m=" T2 " n=" T1, "a=" T1 " b=" T2, "1 0"},
	{"n=udp://127.0.0.1:1", "a=" T1, "-"},
	{"n=udp://127.0.0.1:1 n=" T1, "a=" T1 " a=udp://127.0.0.1:1", "1 0"},
	{"n=unix:///x", "a=unixpacket:///x", "-"},
	{"n=unix:///x", "a=unix:///x", "0"},
	{"n=unix://@x", "a=unix:///x b=unix://@x", "- 0"},
	/* of the wrong type: nobody's */
	{"!n=" T1, "a=" T1, "-"},
	{"!n=" T1 " n=" T1, "a=" T1, "1"},
	{"!a@" T1 "=" T1, "a=" T1, "-"},
	/* never one for two */
	{"n=" T1, "a=" T1 " b=" T1, "0 -"},
	{"n=" T1 " n=" T1, "a=" T1 " b=" T1, "0 1"},
	{"a@" T1 "=" T1, "a=" T1 " b=" T1, "0 -"},
	/* of the store, by its name */
	{"a@" T0 "=" T1, "a=" T0, "0"},
	{"a@" T0 "=" T1 " b@" T0 "=" T2, "b=" T0 " a=" T0, "1 0"},
	{"a@" T0 "=" T1, "b=" T0, "-"},
	{"a@" T0 "=udp://127.0.0.1:1", "a=" T0, "-"},
	/* by what it is bound to, where no name fits */
	{"a@" T1 "=" T1, "b=" T1, "0"},
	{"a@" T0 "=" T1, "a=" T1, "0"},
	{"a@" T1 "=" T1 " b@" T2 "=" T2, "a=" T2 " b=" T1, "1 0"},
	/* a name comes before an address, whatever the order */
	{"a@" T0 "=" T1, "b=" T1 " a=" T0, "- 0"},
	{"x@" T1 "=" T1 " a@" T1 "=" T1, "a=" T1, "1"},
	/* and a unit before the store */
	{"a@" T1 "=" T1 " n=" T1, "a=" T1, "1"},
	{"a@" T0 "=" T1 " n=" T1, "a=" T0 " b=" T1, "0 1"},
	/* what is left over stays over */
	{"n=" T1 " a@" T2 "=" T2, "c=tcp://127.0.0.1:3", "-"},
};

static struct endpoint endpoint_of(const char *text)
{
	struct endpoint *list, endpoint;
	struct address address;
	struct error err = {0};
	size_t count;

	ck_assert_msg(address_parse(text, &address, &err) == 0, "%s", err.text);
	ck_assert_msg(address_resolve_listen(&address, &list, &count, &err) == 0, "%s", err.text);
	ck_assert_uint_eq(count, 1);
	endpoint = list[0];
	free(list);
	return endpoint;
}

static void read_socket(char *word, struct passed_socket *p)
{
	char *bound = strchr(word, '='), *configured, name[PASSED_NAME_MAX];

	*p = (struct passed_socket){.fd = 3};
	if (*word == '!') {
		p->wrong = "is wrong";
		word++;
	}
	*bound = '\0';
	p->bound = endpoint_of(bound + 1);
	configured = strchr(word, '@');
	p->stored = configured != NULL;
	if (configured) {
		*configured = '\0';
		passed_store_name(word, configured + 1, name);
	}
	p->name = mem_text(configured ? name : word);
}

static size_t read_sockets(char *text, struct passed_socket *sockets)
{
	size_t n = 0;
	char *rest;

	for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		ck_assert_uint_lt(n, MOST);
		read_socket(word, &sockets[n++]);
	}
	return n;
}

static size_t read_wishes(char *text, struct passed_wish *wishes, struct endpoint *endpoints)
{
	size_t n = 0;
	char *rest;

	for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		char *address = strchr(word, '=');

		ck_assert_uint_lt(n, MOST);
		*address = '\0';
		endpoints[n] = endpoint_of(address + 1);
		wishes[n] = (struct passed_wish){word, &endpoints[n]};
		n++;
	}
	return n;
}

static void write_match(char *text, const size_t *match, size_t count)
{
	*text = '\0';
	for (size_t i = 0; i < count; i++) {
		text += sprintf(text, "%s", i ? " " : "");
		text += match[i] == PASSED_NONE ? sprintf(text, "-")
						: sprintf(text, "%zu", match[i]);
	}
}

START_TEST(test_match)
{
	char *sockets = mem_text(matches[_i].sockets), *wishes = mem_text(matches[_i].wishes);
	struct passed_socket items[MOST];
	struct passed passed = {.items = items};
	struct endpoint endpoints[MOST];
	struct passed_wish wish[MOST];
	char text[10 * MOST];
	size_t match[MOST], count;

	passed.count = read_sockets(sockets, items);
	count = read_wishes(wishes, wish, endpoints);
	passed_match(&passed, wish, count, match);
	write_match(text, match, count);
	ck_assert_str_eq(text, matches[_i].match);
	for (size_t i = 0; i < passed.count; i++)
		free(items[i].name);
	free(sockets);
	free(wishes);
}
END_TEST

/* ---- what comes in ---- */

static int open_datagram(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	return fd;
}

static const struct {
	const char *name;
	bool stored;
} is_stored[] = {
	{"web", false},
	{"", false},
	{"store", false},
	{"store.", false},
	{"store.socket", false},
	{"store.a", false},
	{"store.a.", false},
	{"store.0123456789abcdef", false},
	{"store..0123456789abcdef", false},
	{"store.a.0123456789abcde", false},
	{"store.a.0123456789abcdeg", false},
	{"store.a.0123456789ABCDEF", false},
	{"store.a.0123456789abcdef0", false},
	{"xstore.a.0123456789abcdef", false},
	{"store.a.0123456789abcdef", true},
	{"store.a.b.0123456789abcdef", true},
};

START_TEST(test_which_is_of_the_store)
{
	struct passed passed = {0};

	passed_add(&passed, open_datagram(), is_stored[_i].name);
	ck_assert_uint_eq(passed.count, 1);
	ck_assert_str_eq(passed.items[0].name, is_stored[_i].name);
	ck_assert_int_eq(passed.items[0].stored, is_stored[_i].stored);
	ck_assert_ptr_null(passed.items[0].wrong);
	close(passed.items[0].fd);
	free(passed.items[0].name);
	free(passed.items);
}
END_TEST

START_TEST(test_flags)
{
	struct passed passed = {0};
	int fd = open_datagram();

	passed_add(&passed, fd, "n");
	/* It may have been with us before, and a program may rely on that. */
	ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(passed.items[0].bound.type, SOCK_DGRAM);
	ck_assert_int_ne(passed.items[0].bound.addr.in.sin_port, 0);
	close(fd);
	free(passed.items[0].name);
	free(passed.items);
}
END_TEST

START_TEST(test_what_is_no_socket)
{
	struct passed passed = {0};
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_NONBLOCK), 0);
	passed_add(&passed, ends[0], "fifo");
	ck_assert_ptr_nonnull(strstr(passed.items[0].wrong, "is no socket"));
	/* It is somebody else's, who may want it as it was. */
	ck_assert_int_ne(fcntl(ends[0], F_GETFL) & O_NONBLOCK, 0);
	close(ends[0]);
	close(ends[1]);
	free(passed.items[0].name);
	free(passed.items);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("passed");
	TCase *name = tcase_create("names in the store");
	TCase *match = tcase_create("matching");
	TCase *add = tcase_create("what comes in");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_loop_test(name, test_names, 0, COUNT(names));
	tcase_add_test(name, test_longest_name);
	tcase_add_test(name, test_names_differ);
	tcase_add_loop_test(match, test_match, 0, COUNT(matches));
	tcase_add_loop_test(add, test_which_is_of_the_store, 0, COUNT(is_stored));
	tcase_add_test(add, test_flags);
	tcase_add_test(add, test_what_is_no_socket);
	suite_add_tcase(suite, name);
	suite_add_tcase(suite, match);
	suite_add_tcase(suite, add);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
