/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "worker/guard.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(*(array))))

static board_u64 ports[65536 / 64];

/* Port 5353, and the first and the last that there are. */
static void set_up(void)
{
	static const unsigned ours[] = {1024, 5353, 65535};

	for (int i = 0; i < COUNT(ours); i++)
		atomic_fetch_or(&ports[ours[i] / 64], UINT64_C(1) << (ours[i] % 64));
}

static bool refuses(const char *host, unsigned port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};

	if (inet_pton(AF_INET, host, &in.sin_addr) == 1)
		return guard_refuses((const struct sockaddr *)&in, ports);
	ck_assert_int_eq(inet_pton(AF_INET6, host, &in6.sin6_addr), 1);
	return guard_refuses((const struct sockaddr *)&in6, ports);
}

static const struct {
	const char *host;
	bool refused;
} hosts[] = {
	{"127.0.0.1", false},
	{"10.0.0.1", false},
	{"1.0.0.0", false},
	{"192.0.2.255", false}, /* may be any host */
	{"223.255.255.255", false},
	{"0.0.0.0", true},
	{"0.255.255.255", true},
	{"224.0.0.1", true},
	{"239.255.255.255", true},
	{"240.0.0.1", true},
	{"255.255.255.255", true},
	{"::1", false},
	{"2001:db8::1", false},
	{"fe80::1", false},
	{"feff::1", false},
	{"::", true},
	{"ff02::1", true},
	{"ff00::", true},
	{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true},
};

START_TEST(test_hosts)
{
	ck_assert(refuses(hosts[_i].host, 40000) == hosts[_i].refused);
	/* No port makes up for a host. */
	ck_assert(refuses(hosts[_i].host, 1023));
	ck_assert(refuses(hosts[_i].host, 5353));
}
END_TEST

START_TEST(test_every_port)
{
	const char *const addresses[] = {"192.0.2.1", "2001:db8::1"};

	for (unsigned port = 0; port < 65536; port++) {
		bool expected = port < 1024 || port == 1024 || port == 5353 || port == 65535;

		for (int i = 0; i < COUNT(addresses); i++)
			ck_assert_msg(refuses(addresses[i], port) == expected, "port %u", port);
	}
}
END_TEST

START_TEST(test_unix)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/any"};

	ck_assert(!guard_refuses((const struct sockaddr *)&un, ports));
}
END_TEST

static Suite *guard_suite(void)
{
	Suite *suite = suite_create("guard");
	TCase *guard = tcase_create("guard");

	tcase_add_checked_fixture(guard, set_up, NULL);
	tcase_add_loop_test(guard, test_hosts, 0, COUNT(hosts));
	tcase_add_test(guard, test_every_port);
	tcase_add_test(guard, test_unix);
	suite_add_tcase(suite, guard);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(guard_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
