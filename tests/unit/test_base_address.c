/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/address.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(*(array))))
#define X10          "xxxxxxxxxx"
#define X50          X10 X10 X10 X10 X10
#define X100         X50 X50
#define X107         X100 "xxxxxxx"
#define X250         X100 X100 X50

static const struct {
	const char *text;
	enum address_kind kind;
	int type, family;
	const char *host, *port;
	bool bracketed;
} good[] = {
	{"tcp://*:7", ADDRESS_INET, SOCK_STREAM, AF_UNSPEC, "*", "7", false},
	{"tcp4://*:0", ADDRESS_INET, SOCK_STREAM, AF_INET, "*", "0", false},
	{"tcp6://*:65535", ADDRESS_INET, SOCK_STREAM, AF_INET6, "*", "65535", false},
	{"udp://*:echo", ADDRESS_INET, SOCK_DGRAM, AF_UNSPEC, "*", "echo", false},
	{"udp4://127.0.0.1:53", ADDRESS_INET, SOCK_DGRAM, AF_INET, "127.0.0.1", "53", false},
	{"udp6://[::1]:53", ADDRESS_INET, SOCK_DGRAM, AF_INET6, "::1", "53", true},
	{"tcp://[::]:7", ADDRESS_INET, SOCK_STREAM, AF_UNSPEC, "::", "7", true},
	{"tcp://[2001:db8::1]:http-alt", ADDRESS_INET, SOCK_STREAM, AF_UNSPEC, "2001:db8::1",
	 "http-alt", true},
	{"tcp://[::ffff:192.0.2.1]:7", ADDRESS_INET, SOCK_STREAM, AF_UNSPEC, "::ffff:192.0.2.1",
	 "7", true},
	{"tcp://[fe80::1%eth0]:7", ADDRESS_INET, SOCK_STREAM, AF_UNSPEC, "fe80::1%eth0", "7", true},
	{"tcp://[fe80::1%2]:7", ADDRESS_INET, SOCK_STREAM, AF_UNSPEC, "fe80::1%2", "7", true},
	{"tcp://0.0.0.0:00080", ADDRESS_INET, SOCK_STREAM, AF_UNSPEC, "0.0.0.0", "00080", false},
	{"tcp://localhost:7", ADDRESS_INET, SOCK_STREAM, AF_UNSPEC, "localhost", "7", false},
	{"tcp://a-b_c.Example.org.:7", ADDRESS_INET, SOCK_STREAM, AF_UNSPEC, "a-b_c.Example.org.",
	 "7", false},
	{"tcp://3com:9pfs", ADDRESS_INET, SOCK_STREAM, AF_UNSPEC, "3com", "9pfs", false},
	{"tcp://" X250 "x:7", ADDRESS_INET, SOCK_STREAM, AF_UNSPEC, X250 "x", "7", false},
	{"unix:///run/x", ADDRESS_UNIX, SOCK_STREAM, AF_UNIX, "/run/x", "", false},
	{"unixgram:///run/x:7", ADDRESS_UNIX, SOCK_DGRAM, AF_UNIX, "/run/x:7", "", false},
	{"unixpacket:///gr\xc3\xbcn", ADDRESS_UNIX, SOCK_SEQPACKET, AF_UNIX, "/gr\xc3\xbcn", "",
	 false},
	{"unix://@name", ADDRESS_UNIX, SOCK_STREAM, AF_UNIX, "@name", "", false},
	{"unix://@/a/@b://", ADDRESS_UNIX, SOCK_STREAM, AF_UNIX, "@/a/@b://", "", false},
	{"unix:///" X100 "xxxxxx", ADDRESS_UNIX, SOCK_STREAM, AF_UNIX, "/" X100 "xxxxxx", "",
	 false},
	{"unix://@" X107, ADDRESS_UNIX, SOCK_STREAM, AF_UNIX, "@" X107, "", false},
	{"systemd://echo.socket", ADDRESS_SYSTEMD, 0, AF_UNSPEC, "echo.socket", "", false},
	{"systemd://" X250 "xxxxx", ADDRESS_SYSTEMD, 0, AF_UNSPEC, X250 "xxxxx", "", false},
};

START_TEST(test_parse)
{
	struct address address;
	struct error err = {0};

	ck_assert_msg(!address_parse(good[_i].text, &address, &err), "%s", err.text);
	ck_assert_int_eq(address.kind, good[_i].kind);
	ck_assert_int_eq(address.type, good[_i].type);
	ck_assert_int_eq(address.family, good[_i].family);
	ck_assert_str_eq(address.host, good[_i].host);
	ck_assert_str_eq(address.port, good[_i].port);
	ck_assert_int_eq(address.bracketed, good[_i].bracketed);
}
END_TEST

#define NO_SCHEME "a scheme is missing, as in tcp://HOST:PORT or unix:///PATH"
#define UNKNOWN \
	"unknown scheme; there are tcp tcp4 tcp6 udp udp4 udp6 unix unixgram unixpacket systemd"
#define NO_HOST     "a host is missing; every address is *, as in tcp://*:7"
#define NO_PORT     "a port is missing, as in tcp://HOST:PORT"
#define NO_PORT_6   "a port is missing, as in tcp://[::1]:7"
#define BAD_PORT    "the port is neither a number nor a name of /etc/services"
#define BAD_HOST    "the host is neither a name nor an address nor *"
#define BRACKETS    "an IPv6 address needs brackets, as in tcp://[::1]:7"
#define NOT_IPV6    "what the brackets hold is not an IPv6 address"
#define SPACE       "an address holds no spaces and no control characters"
#define RELATIVE    "the path is not absolute: it must begin with /, as in unix:///PATH"
#define BAD_SYSTEMD "systemd takes names of printable ASCII without ':' only"

static const struct {
	const char *text, *want; /* behind `address "TEXT": ` */
} bad[] = {
	{"", NO_SCHEME},
	{"7", NO_SCHEME},
	{"127.0.0.1:7", NO_SCHEME},
	{"localhost", NO_SCHEME},
	{"/run/x", NO_SCHEME},
	{"unix:/run/x", NO_SCHEME},
	{"tcp:/*:7", NO_SCHEME},
	{"tcp:*:7", NO_SCHEME},
	{"://*:7", NO_SCHEME},
	{"http://*:80", UNKNOWN},
	{"TCP://*:7", UNKNOWN},
	{"tcp5://*:7", UNKNOWN},
	{"tc://*:7", UNKNOWN},
	{"tcpx://*:7", UNKNOWN},
	{"*:7://", UNKNOWN},
	{"unixstream:///x", UNKNOWN},
	{" tcp://*:7", SPACE},
	{"tcp://*:7 ", SPACE},
	{"tcp:// *:7", SPACE},
	{"tcp://a b:7", SPACE},
	{"unix:///a b", SPACE},
	{"unix://@a b", SPACE},
	{"systemd://a b", SPACE},
	{"tcp://:7", NO_HOST},
	{"tcp://:", NO_HOST},
	{"tcp://", NO_PORT},
	{"tcp://*", NO_PORT},
	{"tcp://*:", NO_PORT},
	{"tcp://host", NO_PORT},
	{"tcp://[::1]", NO_PORT_6},
	{"tcp4://[::1]", NO_PORT_6},
	{"tcp://[::1]:", NO_PORT},
	{"tcp://::1:7", BRACKETS},
	{"tcp://::", BRACKETS},
	{"tcp://fe80::1%eth0:7", BRACKETS},
	{"tcp://1:2", "1 is not an IPv4 address"},
	{"tcp://a:1:2", BRACKETS},
	{"tcp6://::1:7", "an IPv6 address needs brackets, as in tcp6://[::1]:7"},
	{"tcp4://::1:7", "an IPv6 address needs brackets, as in tcp6://[::1]:7"},
	{"udp4://::1:7", "an IPv6 address needs brackets, as in udp6://[::1]:7"},
	{"udp://::1:7", "an IPv6 address needs brackets, as in udp://[::1]:7"},
	{"tcp://[::1:7", "a ] is missing, as in tcp://[::1]:7"},
	{"tcp://[", "a ] is missing, as in tcp://[::1]:7"},
	{"tcp://[::1]7", "only :PORT may follow the ], as in tcp://[::1]:7"},
	{"tcp://[::1].:7", "only :PORT may follow the ], as in tcp://[::1]:7"},
	{"tcp://[]:7", NOT_IPV6},
	{"tcp://[*]:7", NOT_IPV6},
	{"tcp://[localhost]:7", NOT_IPV6},
	{"tcp://[::1::]:7", NOT_IPV6},
	{"tcp://[[::1]]:7", "only :PORT may follow the ], as in tcp://[::1]:7"},
	{"tcp://[[::1]:7", NOT_IPV6},
	{"tcp://[12345::]:7", NOT_IPV6},
	{"tcp://[%eth0]:7", NOT_IPV6},
	{"tcp://[127.0.0.1]:7", "an IPv4 address takes no brackets, as in tcp://127.0.0.1:7"},
	{"tcp6://[127.0.0.1]:7", "an IPv4 address takes no brackets, as in tcp://127.0.0.1:7"},
	{"tcp://[fe80::1%]:7", "a scope is missing after the %, as in tcp://[fe80::1%eth0]:7"},
	{"tcp://[fe80::1%abcdefghijklmnop]:7", "the scope is longer than 15 bytes"},
	{"tcp://127.0.0.1%eth0:7",
	 "a %scope needs an IPv6 address in brackets, as in tcp://[fe80::1%eth0]:7"},
	{"udp4://host%eth0:7",
	 "a %scope needs an IPv6 address in brackets, as in udp://[fe80::1%eth0]:7"},
	{"tcp4://[::1]:7", "::1 is an IPv6 address, which takes tcp6://"},
	{"udp4://[fe80::1%eth0]:7", "fe80::1 is an IPv6 address, which takes udp6://"},
	{"tcp6://127.0.0.1:7", "127.0.0.1 is an IPv4 address, which takes tcp4://"},
	{"udp6://0.0.0.0:7", "0.0.0.0 is an IPv4 address, which takes udp4://"},
	{"tcp://127.1:7", "127.1 is not an IPv4 address"},
	{"tcp://256.0.0.1:7", "256.0.0.1 is not an IPv4 address"},
	{"tcp://1.2.3.4.5:7", "1.2.3.4.5 is not an IPv4 address"},
	{"tcp://1.2.3.4.:7", "1.2.3.4. is not an IPv4 address"},
	{"tcp://.:7", ". is not an IPv4 address"},
	{"tcp://**:7", BAD_HOST},
	{"tcp://*.example.org:7", BAD_HOST},
	{"tcp://user@host:7", BAD_HOST},
	{"tcp://host/:7", BAD_HOST},
	{"tcp://host?:7", BAD_HOST},
	{"tcp://::1]:7", BRACKETS},
	{"tcp://gr\xc3\xbcn:7", BAD_HOST},
	{"tcp://" X250 "xxxxxx:7", "the host is longer than 255 bytes"},
	{"tcp://[" X250 "xxxxxx]:7", "the host is longer than 255 bytes"},
	{"tcp://*:65536", "port 65536 is above 65535"},
	{"tcp://*:99999999999999999999999", "port 99999999999999999999999 is above 65535"},
	{"tcp://*:-1", BAD_PORT},
	{"tcp://*:+7", BAD_PORT},
	{"tcp://*:7/", BAD_PORT},
	{"tcp://*:7,8", BAD_PORT},
	{"tcp://*:7-9", BAD_PORT},
	{"tcp://*:*", BAD_PORT},
	{"tcp://*:echo/tcp", BAD_PORT},
	{"tcp://*:0000000000000000000000000000000007", "the port is longer than 31 bytes"},
	{"tcp://*:" X50, "the port is longer than 31 bytes"},
	{"unix://", "a path is missing, as in unix:///PATH or unix://@NAME"},
	{"unixgram://", "a path is missing, as in unixgram:///PATH or unixgram://@NAME"},
	{"unix://run/x", RELATIVE},
	{"unix://./x", RELATIVE},
	{"unix://x", RELATIVE},
	{"unix://@", "a name is missing after the @, as in unix://@NAME"},
	{"unixpacket://@", "a name is missing after the @, as in unixpacket://@NAME"},
	{"unix://@gr\xc3\xbcn", "a name after @ takes printable ASCII only"},
	{"unix:///" X107, "the path is longer than 107 bytes"},
	{"unix://@" X107 "x", "the name is longer than 107 bytes"},
	{"systemd://", "a name is missing, as in systemd://NAME"},
	{"systemd://a:b", BAD_SYSTEMD},
	{"systemd://gr\xc3\xbcn", BAD_SYSTEMD},
	{"systemd://" X250 "xxxxxx", "the name is longer than 255 bytes"},
};

START_TEST(test_parse_error)
{
	struct address address, untouched;
	struct error err = {0};
	char want[ERROR_TEXT_MAX];

	memset(&address, 0x5a, sizeof(address));
	untouched = address;
	ck_assert_int_eq(address_parse(bad[_i].text, &address, &err), -1);
	snprintf(want, sizeof(want), "address \"%s\": %s", bad[_i].text, bad[_i].want);
	ck_assert_str_eq(err.text, want);
	ck_assert_int_eq(err.code, EX_CONFIG);
	ck_assert_mem_eq(&address, &untouched, sizeof(address));
	ck_assert_int_eq(address_parse(bad[_i].text, &address, NULL), -1);
}
END_TEST

/* The quoted address can neither forge a line nor push out the reason. */
START_TEST(test_parse_error_quotes_safely)
{
	struct address address;
	struct error err = {0};
	char text[2 * ERROR_TEXT_MAX];

	ck_assert_int_eq(address_parse("tcp://a\n<3>b:7", &address, &err), -1);
	ck_assert_str_eq(err.text, "address \"tcp://a\\n<3>b:7\": " SPACE);
	ck_assert_int_eq(address_parse("tcp://a\x7f:7", &address, &err), -1);
	ck_assert_str_eq(err.text, "address \"tcp://a\\x7f:7\": " SPACE);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	ck_assert_int_eq(address_parse(text, &address, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "x...\": " NO_SCHEME));
}
END_TEST

static Suite *address_suite(void)
{
	Suite *suite = suite_create("base/address");
	TCase *parse = tcase_create("parse");

	tcase_add_loop_test(parse, test_parse, 0, COUNT(good));
	tcase_add_loop_test(parse, test_parse_error, 0, COUNT(bad));
	tcase_add_test(parse, test_parse_error_quotes_safely);
	suite_add_tcase(suite, parse);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(address_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
