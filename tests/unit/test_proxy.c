/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "worker/proxy.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(*(array))))

/* What an address is in a table: of a client without a name on a Unix socket. */
#define UNNAMED "unix"

static void check_address(const struct sockaddr_storage *address, socklen_t len, const char *wanted)
{
	char text[ADDRESS_TEXT_MAX];

	ck_assert_uint_le(len, sizeof(struct sockaddr_un));
	ck_assert_str_eq(address_format_peer((const struct sockaddr *)address, len, text), wanted);
}

/* Of a header that is right; it is one byte by byte, and whatever follows. Without a source it is
 * of the proxy itself. */
static void check_header(const void *bytes, size_t size, const char *source,
			 const char *destination)
{
	char *room = malloc(size + 9);
	struct proxy_header h;

	ck_assert_ptr_nonnull(room);
	memcpy(room, bytes, size);
	memset(room + size, 'x', 9);
	for (size_t n = 0; n < size; n++)
		ck_assert_msg(proxy_parse(room, n, &h) == PROXY_MORE, "after %zu bytes", n);
	for (size_t n = size; n <= size + 9; n++) {
		ck_assert_int_eq(proxy_parse(room, n, &h), PROXY_DONE);
		ck_assert_uint_eq(h.size, size);
		ck_assert_int_eq(h.local, source == NULL);
		ck_assert_int_eq(h.family, h.source.ss_family);
		ck_assert_int_eq(h.family == AF_UNSPEC, h.local);
		if (source) {
			check_address(&h.source, h.source_len, source);
			check_address(&h.destination, h.destination_len, destination);
		}
	}
	free(room);
}

/* It is never a header, and that is said for good. */
static void check_refused(const void *bytes, size_t size, enum proxy_result wanted)
{
	enum proxy_result result = PROXY_MORE;
	struct proxy_header h;

	for (size_t n = 0; n <= size; n++) {
		enum proxy_result now = proxy_parse(bytes, n, &h);

		ck_assert_int_ne(now, PROXY_DONE);
		ck_assert(result == PROXY_MORE || now == result);
		result = now;
	}
	ck_assert_msg(result == wanted, "%d, not %d: \"%.*s\"", result, wanted, (int)size,
		      (const char *)bytes);
}

/* ---- version 1 ---- */

#define F "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"

static const struct {
	const char *line, *source, *destination;
} lines[] = {
	{"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", "192.168.0.1:56324",
	 "192.168.0.11:443"},
	{"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535",
	 "255.255.255.255:65535"},
	{"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "0.0.0.0:0", "0.0.0.0:0"},
	{"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n", "10.0.0.1:1", "10.0.0.2:2"},
	{"PROXY TCP6 2001:db8::1 2001:DB8:0:0:0:0:0:2 1 2\r\n", "[2001:db8::1]:1",
	 "[2001:db8::2]:2"},
	{"PROXY TCP6 :: ::1 0 65535\r\n", "[::]:0", "[::1]:65535"},
	{"PROXY TCP6 " F " " F " 65535 65535\r\n", "[" F "]:65535", "[" F "]:65535"},
	/* as proxies write the clients of a dual-stack socket */
	{"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c000:202 1 2\r\n", "192.0.2.1:1", "192.0.2.2:2"},
	{"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 2\r\n", "192.0.2.1:1", "[2001:db8::2]:2"},
	{"PROXY TCP6 2001:db8::1 ::ffff:192.0.2.2 1 2\r\n", "[2001:db8::1]:1", "192.0.2.2:2"},
	{"PROXY UNKNOWN\r\n", NULL, NULL},
	{"PROXY UNKNOWN \r\n", NULL, NULL},
	{"PROXY UNKNOWN " F " " F " 65535 65535\r\n", NULL, NULL},
	{"PROXY UNKNOWN whatever \x01\xff it is\r\n", NULL, NULL},
};

START_TEST(test_lines)
{
	check_header(lines[_i].line, strlen(lines[_i].line), lines[_i].source,
		     lines[_i].destination);
}
END_TEST

/* The longest that there may be has 107 bytes. */
START_TEST(test_longest_line)
{
	const char *longest = "PROXY UNKNOWN " F " " F " 65535 65535\r\n";
	char line[200];

	ck_assert_uint_eq(strlen(longest), 107);
	memset(line, ' ', sizeof(line));
	memcpy(line, longest, 13);
	memcpy(line + 106, "\r\n", 2);
	check_refused(line, sizeof(line), PROXY_BAD);
	memset(line + 106, ' ', 2);
	check_refused(line, sizeof(line), PROXY_BAD);
}
END_TEST

static const char *const bad_lines[] = {
	"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\n",
	"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\rx",
	"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\r\n",
	"PROXY TCP4 192.168.0.1 192.168.0.11 56324\n443\r\n",
	"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443 \r\n",
	"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443 1\r\n",
	"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443x\r\n",
	"PROXY TCP4 192.168.0.1 192.168.0.11 56324 \r\n",
	"PROXY TCP4 192.168.0.1 192.168.0.11 56324\r\n",
	"PROXY TCP4 192.168.0.1 192.168.0.11\r\n",
	"PROXY TCP4 192.168.0.1\r\n",
	"PROXY TCP4 \r\n",
	"PROXY TCP4\r\n",
	"PROXY \r\n",
	"PROXY\r\n",
	/* white space */
	"PROXY  TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
	"PROXY TCP4  192.168.0.1 192.168.0.11 56324 443\r\n",
	"PROXY TCP4 192.168.0.1  192.168.0.11 56324 443\r\n",
	"PROXY TCP4 192.168.0.1 192.168.0.11  56324 443\r\n",
	"PROXY TCP4 192.168.0.1 192.168.0.11 56324  443\r\n",
	"PROXY TCP4 192.168.0.1\t192.168.0.11 56324 443\r\n",
	"PROXY\tTCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
	/* ports */
	"PROXY TCP4 192.168.0.1 192.168.0.11 65536 443\r\n",
	"PROXY TCP4 192.168.0.1 192.168.0.11 56324 65536\r\n",
	"PROXY TCP4 192.168.0.1 192.168.0.11 99999 443\r\n",
	"PROXY TCP4 192.168.0.1 192.168.0.11 065535 443\r\n",
	"PROXY TCP4 192.168.0.1 192.168.0.11 4294967297 443\r\n",
	"PROXY TCP4 192.168.0.1 192.168.0.11 01 443\r\n",
	"PROXY TCP4 192.168.0.1 192.168.0.11 1 00\r\n",
	"PROXY TCP4 192.168.0.1 192.168.0.11 -1 443\r\n",
	"PROXY TCP4 192.168.0.1 192.168.0.11 +1 443\r\n",
	"PROXY TCP4 192.168.0.1 192.168.0.11 0x1 443\r\n",
	"PROXY TCP4 192.168.0.1 192.168.0.11 http 443\r\n",
	/* addresses */
	"PROXY TCP4 192.168.0.256 192.168.0.11 1 2\r\n",
	"PROXY TCP4 192.168.0.1 192.168.0.256 1 2\r\n",
	"PROXY TCP4 192.168.00.1 192.168.0.11 1 2\r\n",
	"PROXY TCP4 192.168.010.1 192.168.0.11 1 2\r\n",
	"PROXY TCP4 192.168.1 192.168.0.11 1 2\r\n",
	"PROXY TCP4 3232235521 192.168.0.11 1 2\r\n",
	"PROXY TCP4 0xc0.168.0.1 192.168.0.11 1 2\r\n",
	"PROXY TCP4 192.168.0.1.1 192.168.0.11 1 2\r\n",
	"PROXY TCP4 192.168..1 192.168.0.11 1 2\r\n",
	"PROXY TCP4 192.168.0.1. 192.168.0.11 1 2\r\n",
	"PROXY TCP4 localhost 192.168.0.11 1 2\r\n",
	"PROXY TCP4 ::1 192.168.0.11 1 2\r\n",
	"PROXY TCP4 ::ffff:192.0.2.1 192.168.0.11 1 2\r\n",
	"PROXY TCP6 192.168.0.1 ::1 1 2\r\n",
	"PROXY TCP6 ::1 192.168.0.1 1 2\r\n",
	"PROXY TCP6 [::1] ::1 1 2\r\n",
	"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
	"PROXY TCP6 ::1::1 ::1 1 2\r\n",
	"PROXY TCP6 :1 ::1 1 2\r\n",
	"PROXY TCP6 ::10000 ::1 1 2\r\n",
	"PROXY TCP6 ::g ::1 1 2\r\n",
	"PROXY TCP6 0:0:0:0:0:0:0:0:1 ::1 1 2\r\n",
	"PROXY TCP6 0:0:0:0:0:0:1 ::1 1 2\r\n",
	"PROXY TCP6 ::ffff:192.0.2.01 ::1 1 2\r\n",
	"PROXY TCP6 ::ffff:192.0.2.256 ::1 1 2\r\n",
	"PROXY TCP6 0000:0000:0000:0000:0000:ffff:192.000.002.001 ::1 1 2\r\n",
	/* protocols */
	"PROXY tcp4 192.168.0.1 192.168.0.11 1 2\r\n",
	"PROXY TCP5 192.168.0.1 192.168.0.11 1 2\r\n",
	"PROXY TCP 192.168.0.1 192.168.0.11 1 2\r\n",
	"PROXY TCP44 192.168.0.1 192.168.0.11 1 2\r\n",
	"PROXY UDP4 192.168.0.1 192.168.0.11 1 2\r\n",
	"PROXY UNIX /a /b\r\n",
	"PROXY unknown\r\n",
	"PROXY UNKNOW\r\n",
	"PROXY UNKNOWNS\r\n",
	"PROXY UNKNOWN\n",
	"PROXY UNKNOWN a\nb\r\n",
	"PROXY UNKNOWN a\rb\r\n",
	"PROXYX TCP4 192.168.0.1 192.168.0.11 1 2\r\n",
	"PROXYTCP4 192.168.0.1 192.168.0.11 1 2\r\n",
};

START_TEST(test_bad_lines)
{
	check_refused(bad_lines[_i], strlen(bad_lines[_i]), PROXY_BAD);
}
END_TEST

/* What ends a text in C ends nothing here. */
START_TEST(test_zero_bytes)
{
	static const char in_address[] = "PROXY TCP4 10.0.0.1\0x 10.0.0.2 1 2\r\n";
	static const char in_port[] = "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\0\r\n";
	static const char in_name[] = "PROXY TCP4\0 10.0.0.1 10.0.0.2 1 2\r\n";

	check_refused(in_address, sizeof(in_address) - 1, PROXY_BAD);
	check_refused(in_port, sizeof(in_port) - 1, PROXY_BAD);
	check_refused(in_name, sizeof(in_name) - 1, PROXY_BAD);
}
END_TEST

/* ---- version 2 ---- */

static const char signature[12] = {'\r', '\n', '\r', '\n', '\0', '\r',
				   '\n', 'Q',  'U',  'I',  'T',  '\n'};

struct v2 {
	size_t size;
	unsigned char bytes[16 + 65535];
};

static void add(struct v2 *v, const void *data, size_t size)
{
	memcpy(v->bytes + v->size, data, size);
	v->size += size;
	v->bytes[14] = (unsigned char)((v->size - 16) >> 8);
	v->bytes[15] = (unsigned char)(v->size - 16);
}

/* A header without addresses. */
static struct v2 *begin(int command, int family)
{
	struct v2 *v = calloc(1, sizeof(*v));

	ck_assert_ptr_nonnull(v);
	memcpy(v->bytes, signature, sizeof(signature));
	v->bytes[12] = (unsigned char)command;
	v->bytes[13] = (unsigned char)family;
	v->size = 16;
	return v;
}

static void check_v2(struct v2 *v, const char *source, const char *destination)
{
	check_header(v->bytes, v->size, source, destination);
	free(v);
}

static void refuse_v2(struct v2 *v)
{
	check_refused(v->bytes, v->size, PROXY_BAD);
	free(v);
}

#define INET "\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x34\x00\x50"
#define INET6                                                                                  \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02" \
	"\xff\xff\0\0"
#define MAPPED                                                                                 \
	"\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x01\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x02" \
	"\0\x01\0\x02"

START_TEST(test_inet)
{
	struct v2 *v = begin(0x21, _i);

	add(v, INET, 12);
	check_v2(v, "192.0.2.1:4660", "192.0.2.2:80");
}
END_TEST

START_TEST(test_inet6)
{
	struct v2 *v = begin(0x21, _i);

	add(v, INET6, 36);
	check_v2(v, "[2001:db8::1]:65535", "[2001:db8::2]:0");
	v = begin(0x21, _i);
	add(v, MAPPED, 36);
	check_v2(v, "192.0.2.1:1", "192.0.2.2:2");
}
END_TEST

static const struct {
	char bytes[108];
	const char *shown;
	size_t length;
} paths[] = {
	{"/run/client", "/run/client", 11},
	{"/run/client\0rubbish", "/run/client", 11},
	{"relative", "relative", 8},
	{"", UNNAMED, 0},
	{"\0name", "@name", 5},
	{"\0two\0words", "@two\\x00words", 10},
	{"/23456789/23456789/23456789/23456789/23456789/23456789/23456789/23456789/23456789/"
	 "23456789/2345678",
	 "/23456789/23456789/23456789/23456789/23456789/23456789/23456789/23456789/23456789/"
	 "23456789/2345678",
	 98},
};

START_TEST(test_unix)
{
	struct v2 *v = begin(0x21, 0x30 + _i % 2 + 1);
	struct proxy_header h;

	add(v, paths[_i].bytes, 108);
	add(v, paths[COUNT(paths) - 1 - _i].bytes, 108);
	ck_assert_int_eq(proxy_parse(v->bytes, v->size, &h), PROXY_DONE);
	ck_assert_uint_eq(h.source_len, sizeof(sa_family_t) + paths[_i].length);
	check_v2(v, paths[_i].shown, paths[COUNT(paths) - 1 - _i].shown);
}
END_TEST

/* All 108 bytes, with which it needs no zero. */
START_TEST(test_full_path)
{
	struct v2 *v = begin(0x21, 0x31);
	char path[109];

	memset(path, 'p', 108);
	path[108] = '\0';
	add(v, path, 108);
	add(v, path, 108);
	check_v2(v, path, path);
}
END_TEST

/* Whatever it says of itself: nothing is announced. */
START_TEST(test_local)
{
	struct v2 *v = begin(0x20, _i);

	check_v2(v, NULL, NULL);
	v = begin(0x20, _i);
	add(v, INET6, 7);
	check_v2(v, NULL, NULL);
	v = begin(0x20, _i);
	add(v, INET, 12);
	check_v2(v, NULL, NULL);
}
END_TEST

/* Of the family or of the transport. */
START_TEST(test_unspecified)
{
	static const int families[] = {0x00, 0x01, 0x02, 0x10, 0x20, 0x30};
	struct v2 *v = begin(0x21, families[_i]);

	check_v2(v, NULL, NULL);
	v = begin(0x21, families[_i]);
	add(v, "\1\2\3\4\5", 5);
	check_v2(v, NULL, NULL);
}
END_TEST

START_TEST(test_every_command)
{
	struct v2 *v = begin(_i, 0x11);

	add(v, INET, 12);
	if (_i == 0x20)
		check_v2(v, NULL, NULL);
	else if (_i == 0x21)
		check_v2(v, "192.0.2.1:4660", "192.0.2.2:80");
	else
		refuse_v2(v);
}
END_TEST

START_TEST(test_every_family)
{
	struct v2 *v = begin(0x21, _i);
	struct proxy_header h;

	add(v, (const char[216]){0}, 216);
	if (_i >> 4 <= 3 && (_i & 0xf) <= 2) {
		ck_assert_int_eq(proxy_parse(v->bytes, v->size, &h), PROXY_DONE);
		ck_assert_uint_eq(h.size, 16 + 216);
		free(v);
	} else {
		refuse_v2(v);
	}
}
END_TEST

/* The addresses do not fit into what there is. */
START_TEST(test_short_blocks)
{
	static const size_t sizes[] = {0, 12, 36, 216};

	for (int family = 1; family <= 3; family++)
		for (size_t size = 0; size < sizes[family]; size++) {
			struct v2 *v = begin(0x21, family << 4 | 1);

			add(v, (const char[216]){0}, size);
			refuse_v2(v);
		}
}
END_TEST

static const struct {
	const char *bytes;
	size_t size;
	bool right;
} vectors[] = {
	{"\x04\x00\x00", 3, true}, /* NOOP */
	{"\x01\x00\x02h2\x04\x00\x05.....", 13, true},
	{"\x03\x00\x04\x01\x02\x03\x04", 7, true}, /* a checksum that nobody checks */
	{"\xea\x00\x01\x01\xff\x00\x00", 7, true},
	{"\x20\x00\x08\x01\x00\x00\x00\x00\x21\x00\x09", 11, true}, /* what is inside is not ours */
	{"\x04", 1, false},
	{"\x04\x00", 2, false},
	{"\x04\x00\x01", 3, false},
	{"\x04\x00\x02.", 4, false},
	{"\x04\xff\xff.", 4, false},
	{"\x04\x00\x00\x04", 4, false},
	{"\x04\x00\x00\x04\x01\x00.", 7, false},
};

START_TEST(test_vectors)
{
	struct v2 *v = begin(0x21, 0x11);

	add(v, INET, 12);
	add(v, vectors[_i].bytes, vectors[_i].size);
	if (vectors[_i].right)
		check_v2(v, "192.0.2.1:4660", "192.0.2.2:80");
	else
		refuse_v2(v);
}
END_TEST

/* A header as long as is taken, and one byte more; its length alone tells. */
START_TEST(test_longest)
{
	static const char noise[4096 - 16 - 12 - 3 + 1];
	const size_t length = sizeof(noise) - 1 + (size_t)_i;
	const unsigned char head[] = {4, (unsigned char)(length >> 8), (unsigned char)length};
	struct v2 *v = begin(0x21, 0x11);

	add(v, INET, 12);
	add(v, head, sizeof(head));
	add(v, noise, length);
	ck_assert_uint_eq(v->size, PROXY_HEADER_MAX + (size_t)_i);
	if (_i == 0) {
		check_v2(v, "192.0.2.1:4660", "192.0.2.2:80");
	} else {
		v->size = 16;
		refuse_v2(v);
	}
}
END_TEST

/* ---- neither ---- */

static const struct {
	const char *bytes;
	size_t size;
} others[] = {
	{"GET / HTTP/1.1\r\n\r\n", 18},
	{"P", 0},
	{"POST / HTTP/1.1\r\n\r\n", 19},
	{"PROPFIND / HTTP/1.1\r\n", 21},
	{"proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n", 36},
	{" PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", 37},
	{"\x16\x03\x01", 3},
	{"\r\n", 0},
	{"\r\n\r\n.", 5},
	{"\r\n\r\n\0\r\nQUIT\r", 12},
	{"\r\n\r\n\0\r\nquit\n!\x11\x00\x0c", 16},
	{"\0", 1},
	{"\xff", 1},
};

START_TEST(test_others)
{
	if (others[_i].size > 0)
		check_refused(others[_i].bytes, others[_i].size, PROXY_NONE);
	else
		check_refused(others[_i].bytes, strlen(others[_i].bytes), PROXY_MORE);
}
END_TEST

static Suite *proxy_suite(void)
{
	Suite *suite = suite_create("proxy");
	TCase *proxy = tcase_create("proxy");

	tcase_add_loop_test(proxy, test_lines, 0, COUNT(lines));
	tcase_add_test(proxy, test_longest_line);
	tcase_add_loop_test(proxy, test_bad_lines, 0, COUNT(bad_lines));
	tcase_add_test(proxy, test_zero_bytes);
	tcase_add_loop_test(proxy, test_inet, 0x11, 0x13);
	tcase_add_loop_test(proxy, test_inet6, 0x21, 0x23);
	tcase_add_loop_test(proxy, test_unix, 0, COUNT(paths));
	tcase_add_test(proxy, test_full_path);
	tcase_add_loop_test(proxy, test_local, 0, 0x100);
	tcase_add_loop_test(proxy, test_unspecified, 0, 6);
	tcase_add_loop_test(proxy, test_every_command, 0, 0x100);
	tcase_add_loop_test(proxy, test_every_family, 0, 0x100);
	tcase_add_test(proxy, test_short_blocks);
	tcase_add_loop_test(proxy, test_vectors, 0, COUNT(vectors));
	tcase_add_loop_test(proxy, test_longest, 0, 2);
	tcase_add_loop_test(proxy, test_others, 0, COUNT(others));
	suite_add_tcase(suite, proxy);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(proxy_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
