/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/address.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(*(array))))
#define X10          "xxxxxxxxxx"
#define X50          X10 X10 X10 X10 X10
#define X100         X50 X50
#define X107         X100 "xxxxxxx"

static bool machine_has_ipv6(void)
{
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

typedef int resolver(const struct address *address, struct endpoint **list, size_t *count,
		     struct error *err);

static size_t resolved(resolver *resolve, const char *text, struct endpoint **list)
{
	struct address address;
	struct error err = {0};
	size_t count = 0;

	ck_assert_msg(!address_parse(text, &address, &err), "%s", err.text);
	ck_assert_msg(!resolve(&address, list, &count, &err), "%s", err.text);
	ck_assert_uint_ge(count, 1);
	return count;
}

static struct endpoint resolved_one(resolver *resolve, const char *text)
{
	struct endpoint *list, one;

	ck_assert_uint_eq(resolved(resolve, text, &list), 1);
	one = list[0];
	free(list);
	return one;
}

static const struct {
	const char *text, *want; /* NULL: the same text */
} trips[] = {
	{"tcp://127.0.0.1:7", NULL},
	{"tcp4://127.0.0.1:7", "tcp://127.0.0.1:7"},
	{"udp://127.0.0.1:65535", NULL},
	{"tcp://0.0.0.0:0", NULL},
	{"tcp4://*:7", "tcp://0.0.0.0:7"},
	{"udp4://*:7", "udp://0.0.0.0:7"},
	{"tcp://127.0.0.1:0080", "tcp://127.0.0.1:80"},
	{"tcp6://*:7", "tcp6://[::]:7"},
	{"tcp6://[::]:7", NULL},
	{"udp6://[0:0::0]:7", "udp6://[::]:7"},
	{"tcp://[::]:7", "tcp://*:7"},
	{"udp://[::]:7", "udp://*:7"},
	{"tcp://[::1]:7", NULL},
	{"tcp6://[::1]:7", "tcp://[::1]:7"},
	{"udp://[2001:DB8:0:0::1]:7", "udp://[2001:db8::1]:7"},
	{"tcp://[::ffff:192.0.2.1]:7", NULL},
	{"tcp://[2001:db8::1%3]:7", NULL},
	{"tcp://[fe80::1%999999]:7", NULL},
	{"unix:///run/x", NULL},
	{"unix:///run/back\\slash?\"", NULL},
	{"unixgram:///gr\xc3\xbcn", NULL},
	{"unixpacket:///run/x", NULL},
	{"unix:///" X100 "xxxxxx", NULL},
	{"unix://@name", NULL},
	{"unix://@/@", NULL},
	{"unixgram://@" X107, NULL},
	{"unixpacket://@x", NULL},
};

START_TEST(test_round_trip)
{
	struct endpoint first = resolved_one(address_resolve_listen, trips[_i].text), second;
	const char *want = trips[_i].want ? trips[_i].want : trips[_i].text;
	char text[ADDRESS_TEXT_MAX], again[ADDRESS_TEXT_MAX];

	ck_assert_ptr_eq(endpoint_format(&first, text), text);
	ck_assert_str_eq(text, want);
	if (strstr(text, "://*") && !machine_has_ipv6()) {
		printf("skipped: the dual wildcard needs a machine with IPv6\n");
		return;
	}
	second = resolved_one(address_resolve_listen, text);
	ck_assert(endpoint_equal(&first, &second));
	ck_assert_mem_eq(&first, &second, sizeof(first));
	ck_assert_str_eq(endpoint_format(&second, again), text);
}
END_TEST

START_TEST(test_round_trip_with_interface)
{
	struct if_nameindex *interfaces = if_nameindex();
	char text[ADDRESS_TEXT_MAX], want[ADDRESS_TEXT_MAX];
	struct endpoint by_name, by_number;

	if (!interfaces || !interfaces[0].if_index) {
		printf("skipped: this machine has no network interface\n");
		if_freenameindex(interfaces);
		return;
	}
	snprintf(want, sizeof(want), "tcp://[fe80::1%%%s]:7", interfaces[0].if_name);
	snprintf(text, sizeof(text), "tcp://[fe80::1%%%u]:7", interfaces[0].if_index);
	by_name = resolved_one(address_resolve_listen, want);
	by_number = resolved_one(address_resolve_listen, text);
	ck_assert(endpoint_equal(&by_name, &by_number));
	ck_assert_uint_eq(by_name.addr.in6.sin6_scope_id, interfaces[0].if_index);
	ck_assert_str_eq(endpoint_format(&by_name, text), want);
	if_freenameindex(interfaces);
}
END_TEST

START_TEST(test_any)
{
	struct endpoint any = resolved_one(address_resolve_listen, "tcp://*:7");
	struct endpoint literal = resolved_one(address_resolve_listen, "tcp://[::]:7");
	struct endpoint only = resolved_one(address_resolve_listen, "tcp6://*:7");
	struct endpoint ipv4 = resolved_one(address_resolve_listen, "tcp4://*:7");

	ck_assert(literal.dual && !literal.v6only);
	ck_assert(only.v6only && !only.dual);
	ck_assert(!ipv4.dual && !ipv4.v6only);
	ck_assert_int_eq(ipv4.addr.any.sa_family, AF_INET);
	ck_assert_int_eq(only.addr.any.sa_family, AF_INET6);
	ck_assert(!endpoint_equal(&literal, &only));
	ck_assert(!endpoint_equal(&literal, &ipv4));
	ck_assert(endpoint_equal(&any, machine_has_ipv6() ? &literal : &ipv4));
}
END_TEST

static const struct {
	const char *text, *want;
} connects[] = {
	{"tcp://*:7", "tcp://127.0.0.1:7"},
	{"udp4://*:7", "udp://127.0.0.1:7"},
	{"tcp6://*:7", "tcp://[::1]:7"},
	{"tcp://192.0.2.1:7", "tcp://192.0.2.1:7"},
	{"tcp://[2001:db8::1]:7", "tcp://[2001:db8::1]:7"},
	{"unix://@x", "unix://@x"},
	{"unixgram:///x", "unixgram:///x"},
};

START_TEST(test_connect)
{
	struct endpoint one = resolved_one(address_resolve_connect, connects[_i].text);
	char text[ADDRESS_TEXT_MAX];

	ck_assert_str_eq(endpoint_format(&one, text), connects[_i].want);
}
END_TEST

static const char *const services[] = {"tcp://127.0.0.1:echo", "udp://127.0.0.1:echo",
				       "tcp://[::1]:echo", "udp6://*:echo", "tcp4://*:echo"};

START_TEST(test_service_name)
{
	const char *protocol = services[_i][0] == 't' ? "tcp" : "udp";
	struct endpoint one;

	/* cppcheck-suppress getservbynameCalled; there is one thread */
	if (!getservbyname("echo", protocol)) {
		printf("skipped: /etc/services has no echo/%s\n", protocol);
		return;
	}
	one = resolved_one(address_resolve_listen, services[_i]);
	ck_assert_uint_eq(ntohs(one.addr.in.sin_port), 7); /* in6 has it in the same place */
}
END_TEST

/* /etc/hosts may name an address several times. */
START_TEST(test_localhost_without_duplicates)
{
	struct endpoint *list;
	size_t count = resolved(address_resolve_listen, "tcp4://localhost:7", &list);
	char text[ADDRESS_TEXT_MAX];

	ck_assert_uint_eq(count, 1);
	ck_assert_str_eq(endpoint_format(&list[0], text), "tcp://127.0.0.1:7");
	free(list);
	count = resolved(address_resolve_listen, "tcp://localhost:7", &list);
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < i; k++)
			ck_assert(!endpoint_equal(&list[i], &list[k]));
	free(list);
}
END_TEST

static const struct {
	const char *text, *want;
} unresolved[] = {
	{"tcp://127.0.0.1:no-such-service",
	 "address \"tcp://127.0.0.1:no-such-service\": port \"no-such-service\" is not in "
	 "/etc/services: "},
	{"udp6://[::1]:10x",
	 "address \"udp6://[::1]:10x\": port \"10x\" is not in /etc/services: "},
	{"tcp://[fe80::1%nosuch]:7",
	 "address \"tcp://[fe80::1%nosuch]:7\": there is no interface \"nosuch\""},
	{"tcp://no-such-host.invalid:7",
	 "address \"tcp://no-such-host.invalid:7\": host \"no-such-host.invalid\": "},
	{"systemd://echo", "address \"systemd://echo\": only systemd can open it"},
};

START_TEST(test_unresolved)
{
	struct endpoint *list = NULL;
	struct address address;
	struct error err = {0};
	size_t count = 7;

	ck_assert_int_eq(address_parse(unresolved[_i].text, &address, &err), 0);
	ck_assert_int_eq(address_resolve_listen(&address, &list, &count, &err), -1);
	ck_assert_msg(!strncmp(err.text, unresolved[_i].want, strlen(unresolved[_i].want)), "%s",
		      err.text);
	ck_assert_int_eq(err.code, EX_CONFIG);
	ck_assert_ptr_null(list);
	ck_assert_uint_eq(count, 7);
	ck_assert_int_eq(address_resolve_connect(&address, &list, &count, NULL), -1);
}
END_TEST

static const struct {
	const char *a, *b;
	bool equal;
} pairs[] = {
	{"tcp://127.0.0.1:7", "tcp4://127.0.0.1:07", true},
	{"tcp://127.0.0.1:7", "udp://127.0.0.1:7", false},
	{"tcp://127.0.0.1:7", "tcp://127.0.0.1:8", false},
	{"tcp://127.0.0.1:7", "tcp://127.0.0.2:7", false},
	{"tcp://127.0.0.1:7", "tcp://[::1]:7", false},
	{"tcp://[::1]:7", "tcp6://[0::1]:7", true},
	{"tcp://[::1]:7", "tcp://[::1]:8", false},
	{"tcp://[fe80::1%1]:7", "tcp://[fe80::1%2]:7", false},
	{"tcp://[::]:7", "tcp6://[::]:7", false},
	{"unix:///a", "unix:///a", true},
	{"unix:///a", "unix:///ab", false},
	{"unix:///a", "unixpacket:///a", false},
	{"unix:///a", "unix://@/a", false},
	{"unix://@a", "unix://@a", true},
	{"unix://@a", "unix://@ab", false},
	{"unix:///a", "tcp://127.0.0.1:7", false},
};

START_TEST(test_equal)
{
	struct endpoint a = resolved_one(address_resolve_listen, pairs[_i].a);
	struct endpoint b = resolved_one(address_resolve_listen, pairs[_i].b);

	ck_assert_int_eq(endpoint_equal(&a, &b), pairs[_i].equal);
	ck_assert_int_eq(endpoint_equal(&b, &a), pairs[_i].equal);
	ck_assert(endpoint_equal(&a, &a));
}
END_TEST

/* A path may come with its NUL counted or without. */
START_TEST(test_equal_with_and_without_nul)
{
	struct endpoint with = resolved_one(address_resolve_listen, "unix:///run/x"),
			without = with;
	char text[ADDRESS_TEXT_MAX];

	without.len--;
	without.addr.un.sun_path[6] = 'y';
	ck_assert(endpoint_equal(&with, &without));
	ck_assert_str_eq(endpoint_format(&without, text), "unix:///run/x");
}
END_TEST

static const char *const bound[] = {
	"tcp://127.0.0.1:0", "udp://127.0.0.1:0", "tcp4://*:0",     "tcp6://*:0",
	"tcp://[::]:0",      "udp://[::]:0",      "udp6://*:0",     "tcp6://[::1]:0",
	"unix://@",          "unixgram://@",      "unixpacket://@",
};

/* Binds what the text says (an abstract name gets this process's number) and looks at the socket.
 */
START_TEST(test_of_socket)
{
	char text[ADDRESS_TEXT_MAX];
	struct endpoint want, got;
	int fd, on;

	snprintf(text, sizeof(text),
		 bound[_i][0] == 'u' && bound[_i][1] == 'n' ? "%stest-%d" : "%s", bound[_i],
		 (int)getpid());
	want = resolved_one(address_resolve_listen, text);
	fd = socket(want.addr.any.sa_family, want.type, 0);
	if (fd < 0 && want.addr.any.sa_family == AF_INET6) {
		printf("skipped: this machine has no IPv6\n");
		return;
	}
	ck_assert_int_ge(fd, 0);
	on = want.v6only;
	if (want.addr.any.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	ck_assert_int_eq(bind(fd, &want.addr.any, want.len), 0);
	ck_assert_int_eq(endpoint_of_socket(fd, &got), 0);
	if (want.addr.any.sa_family != AF_UNIX) {
		ck_assert_uint_ne(got.addr.in.sin_port, 0);
		got.addr.in.sin_port = 0;
	}
	ck_assert(endpoint_equal(&want, &got));
	ck_assert_uint_eq(got.len, want.len);
	close(fd);
}
END_TEST

START_TEST(test_of_socket_longest_path)
{
	char directory[] = "/tmp/test-address-XXXXXX",
	     path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct {
		struct sockaddr_un un;
		char end; /* valgrind reads on for a NUL */
	} addr = {.un = {.sun_family = AF_UNIX}};
	struct endpoint got, again;
	char text[ADDRESS_TEXT_MAX];
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	ck_assert_ptr_nonnull(mkdtemp(directory));
	memset(path, 'x', sizeof(path));
	memcpy(path, directory, strlen(directory));
	path[strlen(directory)] = '/';
	memcpy(addr.un.sun_path, path, sizeof(path)); /* 108 bytes, no NUL: Linux takes it */
	ck_assert_int_eq(bind(fd, (struct sockaddr *)(void *)&addr.un, sizeof(addr.un)), 0);
	ck_assert_int_eq(endpoint_of_socket(fd, &got), 0);
	ck_assert_uint_le(got.len, sizeof(addr.un));
	endpoint_format(&got, text);
	ck_assert_uint_eq(strlen(text), 7 + sizeof(path));
	ck_assert_mem_eq(text + 7, path, sizeof(path));
	again = got;
	ck_assert(endpoint_equal(&got, &again));
	close(fd);
	snprintf(text, sizeof(text), "%.*s", (int)sizeof(path), path);
	unlink(text);
	rmdir(directory);
}
END_TEST

START_TEST(test_of_socket_errors)
{
	struct endpoint endpoint;
	char text[ADDRESS_TEXT_MAX];
	int pair[2], pipes[2];

	ck_assert_int_eq(endpoint_of_socket(-1, &endpoint), -1);
	ck_assert_int_eq(errno, EBADF);
	ck_assert_int_eq(pipe(pipes), 0);
	ck_assert_int_eq(endpoint_of_socket(pipes[0], &endpoint), -1);
	ck_assert_int_eq(errno, ENOTSOCK);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	ck_assert_int_eq(endpoint_of_socket(pair[0], &endpoint), 0);
	ck_assert_str_eq(endpoint_format(&endpoint, text), "unix://");
	endpoint.addr.any.sa_family = 99;
	ck_assert_str_eq(endpoint_format(&endpoint, text), "unknown");
	ck_assert(!endpoint_equal(&endpoint, &endpoint));
}
END_TEST

/* A socket that somebody else bound may have any name; its text must be safe to log. */
START_TEST(test_format_strange_names)
{
	struct endpoint endpoint = {.type = SOCK_STREAM};
	char text[ADDRESS_TEXT_MAX];

	endpoint.addr.un.sun_family = AF_UNIX;
	memcpy(endpoint.addr.un.sun_path, "\0a\nb\0c d", 8);
	endpoint.len = offsetof(struct sockaddr_un, sun_path) + 8;
	ck_assert_str_eq(endpoint_format(&endpoint, text), "unix://@a?b?c?d");
}
END_TEST

union any_address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

static socklen_t make_ipv6(union any_address *addr, const char *host, unsigned port)
{
	memset(addr, 0, sizeof(*addr));
	addr->in6.sin6_family = AF_INET6;
	addr->in6.sin6_port = htons((uint16_t)port);
	ck_assert_int_eq(inet_pton(AF_INET6, host, &addr->in6.sin6_addr), 1);
	return sizeof(addr->in6);
}

static const struct {
	const char *host, *want; /* NULL: left alone */
} mapped[] = {
	{"::ffff:192.0.2.1", "192.0.2.1"},
	{"::ffff:0.0.0.0", "0.0.0.0"},
	{"::ffff:255.255.255.255", "255.255.255.255"},
	{"::192.0.2.1", NULL},
	{"::", NULL},
	{"::1", NULL},
	{"64:ff9b::192.0.2.1", NULL},
	{"::fffe:192.0.2.1", NULL},
	{"1::ffff:192.0.2.1", NULL},
	{"2001:db8::1", NULL},
};

START_TEST(test_unmap)
{
	union any_address addr, before;
	socklen_t len = make_ipv6(&addr, mapped[_i].host, 4711);
	char host[INET_ADDRSTRLEN];

	before = addr;
	len = address_unmap(&addr.any, len);
	if (!mapped[_i].want) {
		ck_assert_uint_eq(len, sizeof(addr.in6));
		ck_assert_mem_eq(&addr, &before, sizeof(addr));
		return;
	}
	ck_assert_uint_eq(len, sizeof(addr.in));
	ck_assert_int_eq(addr.in.sin_family, AF_INET);
	ck_assert_uint_eq(ntohs(addr.in.sin_port), 4711);
	ck_assert_str_eq(inet_ntop(AF_INET, &addr.in.sin_addr, host, sizeof(host)),
			 mapped[_i].want);
	ck_assert_uint_eq(address_unmap(&addr.any, len), len);
}
END_TEST

START_TEST(test_unmap_others)
{
	union any_address addr;
	socklen_t len = make_ipv6(&addr, "::ffff:192.0.2.1", 1);

	ck_assert_uint_eq(address_unmap(&addr.any, len - 1), len - 1);
	ck_assert_int_eq(addr.any.sa_family, AF_INET6);
	addr.any.sa_family = AF_UNIX;
	ck_assert_uint_eq(address_unmap(&addr.any, len), len);
	ck_assert_int_eq(addr.any.sa_family, AF_UNIX);
	ck_assert_uint_eq(address_unmap(&addr.any, 0), 0);
}
END_TEST

static const struct {
	const char *host;
	unsigned port, scope;
	const char *want;
} peers[] = {
	{"::ffff:192.0.2.1", 4711, 0, "192.0.2.1:4711"},
	{"2001:db8::1", 4711, 0, "[2001:db8::1]:4711"},
	{"::1", 65535, 0, "[::1]:65535"},
	{"fe80::1", 7, 2, "[fe80::1%2]:7"},
	{"fe80:1111:2222:3333:4444:5555:6666:7777", 65535, 4294967295U,
	 "[fe80:1111:2222:3333:4444:5555:6666:7777%4294967295]:65535"},
};

START_TEST(test_peer)
{
	union any_address addr, before;
	socklen_t len = make_ipv6(&addr, peers[_i].host, peers[_i].port);
	char text[ADDRESS_TEXT_MAX];

	addr.in6.sin6_scope_id = peers[_i].scope;
	before = addr;
	ck_assert_ptr_eq(address_format_peer(&addr.any, len, text), text);
	ck_assert_str_eq(text, peers[_i].want);
	ck_assert_mem_eq(&addr, &before, sizeof(addr));
}
END_TEST

START_TEST(test_peer_ipv4)
{
	union any_address addr = {.in = {.sin_family = AF_INET, .sin_port = htons(4711)}};
	char text[ADDRESS_TEXT_MAX];

	addr.in.sin_addr.s_addr = htonl(0xc0000201);
	ck_assert_str_eq(address_format_peer(&addr.any, sizeof(addr.in), text), "192.0.2.1:4711");
}
END_TEST

#define UNIX_PEER(name, want)                \
	{                                    \
		name, sizeof(name) - 1, want \
	}

static const struct {
	const char *name;
	size_t size;
	const char *want;
} unix_peers[] = {
	UNIX_PEER("", "unix"),
	UNIX_PEER("/run/client.sock", "/run/client.sock"),
	UNIX_PEER("/run/client.sock\0rest", "/run/client.sock"),
	UNIX_PEER("\0name", "@name"),
	UNIX_PEER("\0"
		  "00042",
		  "@00042"),
	UNIX_PEER("\0a\0b", "@a\\x00b"),
	UNIX_PEER("/run/a\n<3>b", "/run/a\\n<3>b"),
	UNIX_PEER("/\xe2\x80\xae\xff", "/\\xe2\\x80\\xae\\xff"),
	UNIX_PEER("/" X107, "/" X107),
};

START_TEST(test_peer_unix)
{
	union any_address addr = {.un = {.sun_family = AF_UNIX}};
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + unix_peers[_i].size);
	char text[ADDRESS_TEXT_MAX];

	memcpy(addr.un.sun_path, unix_peers[_i].name, unix_peers[_i].size);
	ck_assert_str_eq(address_format_peer(&addr.any, len, text), unix_peers[_i].want);
}
END_TEST

START_TEST(test_peer_odd)
{
	union any_address addr = {.any = {.sa_family = 99}};
	char text[ADDRESS_TEXT_MAX];

	ck_assert_str_eq(address_format_peer(&addr.any, sizeof(addr.any), text), "unknown");
	ck_assert_str_eq(address_format_peer(&addr.any, 0, text), "unix"); /* recvfrom: unnamed */
	addr.un.sun_family = AF_UNIX;
	memset(addr.un.sun_path + 1, '\x01', sizeof(addr.un.sun_path) - 1);
	address_format_peer(&addr.any, sizeof(addr.un), text);
	ck_assert_uint_lt(strlen(text), ADDRESS_TEXT_MAX);
	ck_assert_str_eq(text + strlen(text) - 7, "\\x01...");
}
END_TEST

static Suite *endpoint_suite(void)
{
	Suite *suite = suite_create("base/endpoint");
	TCase *resolve = tcase_create("resolve");
	TCase *endpoint = tcase_create("endpoint"), *peer = tcase_create("peer");

	tcase_set_timeout(resolve, 60); /* a resolver that cannot reach its servers is slow */
	tcase_add_loop_test(resolve, test_round_trip, 0, COUNT(trips));
	tcase_add_test(resolve, test_round_trip_with_interface);
	tcase_add_test(resolve, test_any);
	tcase_add_loop_test(resolve, test_connect, 0, COUNT(connects));
	tcase_add_loop_test(resolve, test_service_name, 0, COUNT(services));
	tcase_add_test(resolve, test_localhost_without_duplicates);
	tcase_add_loop_test(resolve, test_unresolved, 0, COUNT(unresolved));
	tcase_add_loop_test(endpoint, test_equal, 0, COUNT(pairs));
	tcase_add_test(endpoint, test_equal_with_and_without_nul);
	tcase_add_loop_test(endpoint, test_of_socket, 0, COUNT(bound));
	tcase_add_test(endpoint, test_of_socket_longest_path);
	tcase_add_test(endpoint, test_of_socket_errors);
	tcase_add_test(endpoint, test_format_strange_names);
	tcase_add_loop_test(peer, test_unmap, 0, COUNT(mapped));
	tcase_add_test(peer, test_unmap_others);
	tcase_add_loop_test(peer, test_peer, 0, COUNT(peers));
	tcase_add_test(peer, test_peer_ipv4);
	tcase_add_loop_test(peer, test_peer_unix, 0, COUNT(unix_peers));
	tcase_add_test(peer, test_peer_odd);
	suite_add_tcase(suite, resolve);
	suite_add_tcase(suite, endpoint);
	suite_add_tcase(suite, peer);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(endpoint_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
