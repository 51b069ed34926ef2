/* SPDX-License-Identifier: ISC */
/* Loading modules: the bad ones of tests/modules, and the examples. */
#include <config.h>

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "test_handlers.h"

/* The text of the error of a module that must not load. */
static const char *module_refused(const char *file)
{
	static struct error err;
	struct handler_instance instance;

	err = (struct error){0};
	ck_assert_int_eq(handler_open(&instance, NULL, file, &no_options, &err), -1);
	ck_assert_int_eq(err.code, EX_CONFIG);
	ck_assert_ptr_null(instance.handler);
	ck_assert_ptr_null(instance.module);
	return err.text;
}

START_TEST(module_paths)
{
	starts_with(module_refused(""), "module \"\": ");
	starts_with(module_refused("a/b.so"), "module \"a/b.so\": a path must be absolute; ");
	starts_with(module_refused("./b.so"), "module \"./b.so\": a path must be absolute; ");
	starts_with(module_refused("no-such"), "module \"no-such\": " MODULEDIR "/no-such.so: ");
	starts_with(module_refused("/no/such.so"), "module \"/no/such.so\": /no/such.so: ");
	starts_with(module_refused("/etc/passwd"), "module \"/etc/passwd\": /etc/passwd: ");
}
END_TEST

#define REFUSED(name, text)                                      \
	starts_with(module_refused(TEST_MODULES "/" name ".so"), \
		    "module \"" TEST_MODULES "/" name ".so\": " text)

START_TEST(bad_modules_are_refused)
{
	char number[100];

	snprintf(number, sizeof(number), "interface %d, this preforkd has %d: rebuild it",
		 PREFORKD_ABI + 1, PREFORKD_ABI);
	REFUSED("wrong_abi", "built for handler interface ");
	ck_assert_ptr_nonnull(strstr(module_refused(TEST_MODULES "/wrong_abi.so"), number));
	REFUSED("no_symbol", "no handler in it: " TEST_MODULES "/no_symbol.so: undefined symbol: ");
	REFUSED("nothing", "its handler has neither serve nor answer");
	REFUSED("open_fails", "this open always fails");
}
END_TEST

START_TEST(open_may_fail_without_reason)
{
	const struct preforkd_option options[] = {{"text", ""}};
	const struct preforkd_setup setup = {"test", options, 1};
	struct handler_instance instance;
	struct error err = {0};

	ck_assert_int_eq(handler_open(&instance, NULL, TEST_MODULES "/open_fails.so", &setup, &err),
			 -1);
	ck_assert_ptr_nonnull(strstr(err.text, "open_fails.so\": its open failed and gave no "));
}
END_TEST

static void open_module(struct handler_instance *instance, const char *file,
			const struct preforkd_setup *setup)
{
	struct error err = {0};

	ck_assert_msg(handler_open(instance, NULL, file, setup, &err) == 0, "%s", err.text);
}

START_TEST(hello_module)
{
	struct handler_instance instance;
	struct serving serving;
	char reply[100];

	open_module(&instance, TEST_MODULES "/hello.so", &no_options);
	serving = start(&instance, stream_types[_i], 0);
	ck_assert_uint_eq(get(&serving, reply, sizeof(reply)), 6);
	ck_assert_mem_eq(reply, "hello\n", 6);
	ck_assert_int_eq(finish(&serving), 0);
	ck_assert_int_eq(answer(&instance, "", 0, reply, sizeof(reply)), 6);
	ck_assert_int_eq(answer(&instance, "", 0, reply, 3), 0);
	handler_close(&instance);
	ck_assert_ptr_null(instance.handler);
	handler_close(&instance);
}
END_TEST

START_TEST(count_module)
{
	const struct preforkd_option options[] = {{"greeting", "welcome"}, {"greating", ""}};
	struct preforkd_setup setup = {"test", options, 2};
	struct handler_instance instance;
	struct serving serving;
	struct error err = {0};
	char reply[100] = "";

	ck_assert_int_eq(handler_open(&instance, NULL, TEST_MODULES "/count.so", &setup, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "unknown option \"greating\"; known: greeting"));
	setup.option_count = 1;
	open_module(&instance, TEST_MODULES "/count.so", &setup);
	ck_assert_int_eq(instance.handler->enter(instance.state), 0);
	serving = start(&instance, SOCK_STREAM, 0);
	get(&serving, reply, sizeof(reply) - 1);
	ck_assert_str_eq(reply, "welcome, client 1\n");
	ck_assert_int_eq(finish(&serving), 0);
	handler_close(&instance);
}
END_TEST

START_TEST(upper_module)
{
	struct handler_instance instance;
	struct serving serving;
	static char data[5000], reply[6000];

	open_module(&instance, TEST_MODULES "/upper.so", &no_options);
	serving = start(&instance, SOCK_STREAM, 0);
	put(&serving, "one\ntw", 6);
	ck_assert_int_eq(preforkd_read(serving.fd, reply, sizeof(reply)), 4);
	put(&serving, "o\n", 2);
	ck_assert_int_eq(preforkd_read(serving.fd, reply, sizeof(reply)), 4);
	ck_assert_mem_eq(reply, "TWO\n", 4);
	memset(data, 'x', sizeof(data));
	put(&serving, data, sizeof(data));
	shutdown(serving.fd, SHUT_WR);
	ck_assert_uint_eq(get(&serving, reply, sizeof(reply)), sizeof(data));
	ck_assert_int_eq(reply[sizeof(data) - 1], 'X');
	ck_assert_int_eq(finish(&serving), 0);
	serving = start(&instance, SOCK_STREAM, 30);
	ck_assert_uint_eq(get(&serving, reply, sizeof(reply)), 0);
	ck_assert_int_eq(finish(&serving), EAGAIN);
	handler_close(&instance);
}
END_TEST

START_TEST(env_module)
{
	struct handler_instance instance;
	struct serving serving;
	char reply[8192] = "", uid[32];

	open_module(&instance, TEST_MODULES "/env.so", &no_options);
	serving = start(&instance, SOCK_STREAM, 0);
	get(&serving, reply, sizeof(reply) - 1);
	ck_assert_int_eq(finish(&serving), 0);
	snprintf(uid, sizeof(uid), "uid=%u gid=%u groups=", getuid(), getgid());
	starts_with(reply, uid);
	ck_assert_ptr_nonnull(strstr(reply, " cwd=/"));
	ck_assert_ptr_nonnull(strstr(reply, " fds=0="));
	ck_assert_ptr_nonnull(strstr(reply, " sigmask="));
	ck_assert_ptr_nonnull(strchr(reply, '\n'));
	handler_close(&instance);
}
END_TEST

void add_modules(Suite *suite)
{
	TCase *tcase = add_case(suite, "modules");

	tcase_add_test(tcase, module_paths);
	tcase_add_test(tcase, bad_modules_are_refused);
	tcase_add_test(tcase, open_may_fail_without_reason);
	tcase_add_loop_test(tcase, hello_module, 0, 2);
	tcase_add_test(tcase, count_module);
	tcase_add_test(tcase, upper_module);
	tcase_add_test(tcase, env_module);
}
