/* SPDX-License-Identifier: ISC */
/* The table of built-ins, options, and the suite of everything about handlers. */
#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "handlers/builtin.h"
#include "handlers/table.h"
#include "test_handlers.h"

START_TEST(table_knows_all)
{
	size_t count;
	const char *const *names = handler_builtin_names(&count);

	ck_assert_uint_ge(count, 7);
	for (size_t i = 0; i < count; i++) {
		const struct preforkd_handler *handler = handler_builtin(names[i]);

		ck_assert(!handler == !!handler_builtin_module(names[i]));
		if (i > 0)
			ck_assert_str_lt(names[i - 1], names[i]);
		if (!handler)
			continue;
		ck_assert_str_eq(handler->name, names[i]);
		ck_assert_uint_eq(handler->abi, PREFORKD_ABI);
		ck_assert(!handler->answer || handler->flags & PREFORKD_REFUSE_LOOPS);
		ck_assert(handler->answer || !(handler->flags & PREFORKD_PROMPT_ANSWER));
	}
	ck_assert_str_eq(handler_builtin_module("status"), "builtin_status");
	ck_assert_ptr_null(handler_builtin_module("echo"));
	ck_assert_ptr_null(handler_builtin("nobody"));
	ck_assert_ptr_null(handler_builtin(""));
	/* serve() reads, as long as the client likes; and a reply may be as long as the request. */
	ck_assert_uint_eq(builtin_echo.flags, PREFORKD_REFUSE_LOOPS | PREFORKD_PROMPT_ANSWER);
}
END_TEST

START_TEST(serves_by_socket_type)
{
	struct preforkd_handler handler = {.serve = builtin_echo.serve};

	ck_assert(handler_serves(&handler, SOCK_STREAM));
	ck_assert(handler_serves(&handler, SOCK_SEQPACKET));
	ck_assert(!handler_serves(&handler, SOCK_DGRAM));
	handler = (struct preforkd_handler){.answer = builtin_echo.answer};
	ck_assert(!handler_serves(&handler, SOCK_STREAM));
	ck_assert(!handler_serves(&handler, SOCK_SEQPACKET));
	ck_assert(handler_serves(&handler, SOCK_DGRAM));
	ck_assert(!handler_serves(&handler, SOCK_RAW));
}
END_TEST

START_TEST(unknown_builtin_lists_names)
{
	struct handler_instance instance;
	struct error err = {0};

	ck_assert_int_eq(handler_open(&instance, "ecko", NULL, &no_options, &err), -1);
	ck_assert_int_eq(err.code, EX_CONFIG);
	ck_assert_str_eq(err.text, "builtin \"ecko\": there is none of that name; known: agent, "
				   "chargen, daytime, discard, echo, message, qotd, status, time");
	ck_assert_ptr_null(instance.handler);
	handler_close(&instance);
}
END_TEST

START_TEST(unknown_option_is_refused)
{
	const struct preforkd_option options[] = {{"fiel", "x"}};
	const struct preforkd_setup setup = {"test", options, 1};
	struct handler_instance instance;
	struct error err = {0};
	size_t count;
	const char *const *names = handler_builtin_names(&count);

	for (size_t i = 0; i < count; i++) {
		if (handler_builtin_module(names[i]))
			continue;
		ck_assert_int_eq(handler_open(&instance, names[i], NULL, &setup, &err), -1);
		ck_assert_ptr_nonnull(strstr(err.text, "unknown option \"fiel\"; "));
	}
	handler_open(&instance, "qotd", NULL, &setup, &err);
	ck_assert_str_eq(err.text, "builtin \"qotd\": unknown option \"fiel\"; known: file");
	handler_open(&instance, "echo", NULL, &setup, &err);
	ck_assert_str_eq(err.text, "builtin \"echo\": unknown option \"fiel\"; there are none");
}
END_TEST

START_TEST(options_check_lists_known)
{
	static const char *const known[] = {"one", "two"};
	const struct preforkd_option options[] = {{"two", ""}, {"one", ""}, {"tree", ""}};
	struct preforkd_setup setup = {"test", options, 2};
	char text[200] = "";
	char small[10];

	ck_assert_int_eq(builtin_options_check(&setup, known, 2, text, sizeof(text)), 0);
	setup.option_count = 3;
	ck_assert_int_eq(builtin_options_check(&setup, known, 2, text, sizeof(text)), -1);
	ck_assert_str_eq(text, "unknown option \"tree\"; known: one, two");
	ck_assert_int_eq(builtin_options_check(&setup, known, 2, small, sizeof(small)), -1);
	ck_assert_str_eq(small, "unknown o");
}
END_TEST

static void add_table(Suite *suite)
{
	TCase *tcase = add_case(suite, "table");

	tcase_add_test(tcase, table_knows_all);
	tcase_add_test(tcase, serves_by_socket_type);
	tcase_add_test(tcase, unknown_builtin_lists_names);
	tcase_add_test(tcase, unknown_option_is_refused);
	tcase_add_test(tcase, options_check_lists_known);
}

int main(void)
{
	Suite *suite = suite_create("handlers");
	SRunner *runner = srunner_create(suite);
	int failed;

	add_table(suite);
	add_builtins(suite);
	add_message(suite);
	add_qotd(suite);
	add_modules(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
