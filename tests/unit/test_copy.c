/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "master/copy_notify.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(*(array))))

/* ---- what a copy says ---- */

static const struct {
	const char *text;
	bool ready;
} messages[] = {
	{"", false},
	{"READY=1", true},
	{"READY=1\n", true},
	{"STATUS=it begins\nREADY=1", true},
	{"\n\nREADY=1\nSTATUS=it begins\n", true},
	{"READY=0", false},
	{"READY=", false},
	{"READY=10", false},
	{"READY=1 ", false},
	{" READY=1", false},
	{"NOTREADY=1", false},
	{"STATUS=READY=1", false},
	{"ready=1", false},
	{"RELOADING=1\nMONOTONIC_USEC=1", false},
	{"STOPPING=1\nREADY", false},
};

START_TEST(test_says_ready)
{
	ck_assert_int_eq(copy_notify_says_ready(messages[_i].text), messages[_i].ready);
}
END_TEST

static const struct {
	const char *key, *value;
	bool waits;
} readiness[] = {
	{NULL, NULL, false},
	{"ready", "alive", false},
	{"ready", "notify", true},
};

START_TEST(test_waits_for_notify)
{
	struct preforkd_option option = {readiness[_i].key, readiness[_i].value};
	const struct service_config service = {.options = &option,
					       .option_count = option.key ? 1 : 0};

	ck_assert_int_eq(service_waits_for_notify(&service), readiness[_i].waits);
}
END_TEST

/* ---- the names of its sockets ---- */

/* Each address is the number of its sockets; a name before it: systemd://NAME. */
static const struct {
	struct {
		const char *name;
		size_t sockets;
	} listen[4];
	const char *names;
} names[] = {
	{{{NULL, 1}}, "web"},
	{{{NULL, 2}}, "web:web"},
	{{{"admin", 1}}, "admin"},
	{{{NULL, 1}, {"admin", 2}, {NULL, 1}}, "web:admin:admin:web"},
	{{{"b", 1}, {"a", 1}}, "b:a"},
	/* --check does not know what will be passed */
	{{{"admin", 0}}, ""},
};

START_TEST(test_socket_names)
{
	struct listen_on addresses[4] = {0};
	char web[] = "web";
	struct service_config service = {.name = web, .addresses = addresses};
	char *text;

	for (size_t i = 0; i < 4; i++) {
		const char *name = names[_i].listen[i].name;

		if (!name && !names[_i].listen[i].sockets)
			break;
		addresses[i].endpoint_count = names[_i].listen[i].sockets;
		addresses[i].address.kind = name ? ADDRESS_SYSTEMD : ADDRESS_INET;
		if (name)
			snprintf(addresses[i].address.host, sizeof(addresses[i].address.host), "%s",
				 name);
		service.listen.count++;
	}
	text = crew_socket_names(&service);
	ck_assert_str_eq(text, names[_i].names);
	free(text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("copy");
	TCase *tests = tcase_create("copy");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tests, test_says_ready, 0, COUNT(messages));
	tcase_add_loop_test(tests, test_waits_for_notify, 0, COUNT(readiness));
	tcase_add_loop_test(tests, test_socket_names, 0, COUNT(names));
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
