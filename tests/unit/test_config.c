/* SPDX-License-Identifier: ISC */
/* What is dumped is read back to the same; what fingerprints tell apart. */
#include <config.h>

#include <signal.h>
#include <unistd.h>

#include "base/mem.h"
#include "config/schema.h"
#include "config/types.h"
#include "test_config.h"

static char file[] = "/tmp/test_config.XXXXXX";

static void set_up(void)
{
	int fd = mkstemp(file);

	ck_assert_int_ge(fd, 0);
	close(fd);
}

static void tear_down(void)
{
	unlink(file);
}

static struct config *read_back(const char *text)
{
	struct error_list errors = {0};
	struct entries *entries = entries_new();
	FILE *fp = fopen(file, "w");

	ck_assert_ptr_nonnull(fp);
	fputs(text, fp);
	ck_assert_int_eq(fclose(fp), 0);
	ck_assert_msg(entries_read(entries, file, &errors) == 0, "%s",
		      errors.count ? errors.texts[0] : "");
	return build(entries);
}

/* ---- dump ---- */

START_TEST(test_dump_is_read_back)
{
	struct config *config = build(rich_entries()), *again;
	const struct service_config *one;
	char *text = config_dump(config);

	again = read_back(text);
	check_same(config, again);
	ck_assert_uint_eq(again->service_count, 5);
	one = &again->services[0];
	ck_assert_uint_eq(one->option_count, COUNT(texts));
	for (int i = 0; i < COUNT(texts); i++)
		ck_assert_str_eq(one->options[i].value, texts[i]);
	ck_assert_str_eq(again->services[1].directory, "/tmp/'\"\\ ${HOME}\n#");
	ck_assert_str_eq(again->services[2].module, "/nowhere/'\\\n\".so");
	ck_assert_str_eq(again->services[2].listen.items[1], "unix://@two'\\\"");
	ck_assert_uint_eq(again->log_level, LOG_LEVEL_DEBUG);
	free(text);
	config_free(config);
	config_free(again);
}
END_TEST

START_TEST(test_programs_are_read_back)
{
	struct config *config = build(rich_entries()), *again;
	const struct service_config *exec, *acceptor;
	char *text = config_dump(config);

	again = read_back(text);
	exec = &again->services[3];
	acceptor = &again->services[4];
	ck_assert_int_eq(exec->kind, HANDLER_EXEC);
	ck_assert_ptr_eq(config_program(exec), &exec->exec);
	ck_assert_uint_eq(exec->exec.count, COUNT(texts) + 1);
	for (int i = 0; i < COUNT(texts); i++)
		ck_assert_str_eq(exec->exec.items[i + 1], texts[i]);
	ck_assert_str_eq(exec->environment.items[1], "_text1='\"\\ ${HOME}\n#=\t");
	ck_assert(exec->prestart && exec->stderr_to == STDERR_CLIENT);
	ck_assert_uint_eq(exec->connection_timeout, 90000000);
	ck_assert_int_eq(acceptor->kind, HANDLER_ACCEPTOR);
	ck_assert_ptr_eq(config_program(acceptor), &acceptor->acceptor);
	ck_assert_uint_eq(acceptor->pass_as, PASS_AS_STDIN);
	ck_assert_uint_eq(acceptor->stop_signal, SIGQUIT);
	ck_assert_ptr_null(config_program(&again->services[0]));
	free(text);
	config_free(config);
	config_free(again);
}
END_TEST

/* ---- kinds of handlers ---- */

static const struct {
	const char *key, *value;
} kinds[] = {
	[HANDLER_BUILTIN] = {"builtin", "echo"},
	[HANDLER_MODULE] = {"module", "plain"},
	[HANDLER_EXEC] = {"exec", "/plain"},
	[HANDLER_ACCEPTOR] = {"acceptor", "/plain"},
};

/* proxy_protocol means nothing without. */
static void trust_proxies(struct entries *e, const char *key)
{
	if (!key || strcmp(key, "proxy_from") != 0)
		add(e, ENTRY_GLOBAL, "proxy_from", "192.0.2.7");
}

/* A service of a kind, with one more key; which may be that of the kind. */
static struct config *plain_config(enum handler_kind kind, const char *key, const char *value)
{
	struct entries *e = entries_new();

	trust_proxies(e, key);
	entries_add_service(e, "plain", "test.conf", 1);
	add(e, ENTRY_SERVICE, "listen", "tcp://127.0.0.1:0");
	if (!key || strcmp(key, kinds[kind].key) != 0)
		add(e, ENTRY_SERVICE, kinds[kind].key, kinds[kind].value);
	if (key)
		add(e, ENTRY_SERVICE, key, value);
	return build(e);
}

static bool holds_key(const char *text, const struct key *key)
{
	char *line = mem_format("\n%s%s = ", key->scope == KEY_MASTER ? "" : "\t", key->name);
	bool found = strstr(text, line) != NULL || strncmp(text, line + 1, strlen(line) - 1) == 0;

	free(line);
	return found;
}

/* And no key that would be a mistake there. */
START_TEST(test_dump_holds_every_default)
{
	struct config *config = plain_config((enum handler_kind)_i, NULL, NULL), *again;
	char *text = config_dump(config);

	for (size_t i = 0; i < schema_count; i++)
		ck_assert_msg(holds_key(text, &schema[i]) ==
				      config_key_applies(&config->services[0], schema[i].name),
			      "%s of %s", schema[i].name, kinds[_i].key);
	again = read_back(text);
	check_same(config, again);
	ck_assert_int_eq(again->services[0].kind, _i);
	free(text);
	config_free(config);
	config_free(again);
}
END_TEST

START_TEST(test_a_default_reaches_every_service)
{
	struct entries *e = entries_new();
	struct config *config;

	add(e, ENTRY_GLOBAL, "workers", "9");
	add_service(e, "a", "tcp://127.0.0.1:0");
	add_service(e, "b", "tcp://127.0.0.1:1");
	add(e, ENTRY_SERVICE, "workers", "2");
	config = build(e);
	ck_assert_uint_eq(config->services[0].workers, 9);
	ck_assert_uint_eq(config->services[1].workers, 2);
	config_free(config);
}
END_TEST

/* ---- fingerprints ---- */

/* Another good value for each type. */
static const char *other_value(const struct key *key)
{
	if (key->type == &type_count)
		return "3";
	if (key->type == &type_duration)
		return "17s";
	if (key->type == &type_size)
		return "17M";
	if (key->type == &type_rate)
		return "17/m";
	if (key->type == &type_rules)
		return "10.0.0.0/8";
	if (key->type == &type_bool)
		return strcmp(key->fallback, "true") == 0 ? "false" : "true";
	if (key->type == &type_mode)
		return "0123";
	if (key->type == &type_choice)
		return key->names[key->fallback && strcmp(key->names[0], key->fallback) == 0];
	if (key->type == &type_signal)
		return "HUP";
	if (strcmp(key->name, "environment") == 0)
		return "A=other";
	if (key->type == &type_optional)
		return "17";
	if (key->type == &type_optional_size)
		return "17M";
	return "/other";
}

/* How many workers there are, which is for those of before too. */
static bool is_size(const char *name)
{
	static const char *const sizes[] = {"workers", "workers_max", "spare", "shrink_after"};

	for (int i = 0; i < COUNT(sizes); i++)
		if (strcmp(name, sizes[i]) == 0)
			return true;
	return false;
}

/* The daemon's own, the identity of the pools, whether there are any. */
static bool has_no_other_value(const struct key *key)
{
	return key->scope == KEY_MASTER || strcmp(key->name, "listen") == 0 ||
	       strcmp(key->name, "enabled") == 0 || is_size(key->name);
}

/* Of builtin, module, exec and acceptor a service has one. */
static enum handler_kind kind_for(const struct key *key)
{
	for (int kind = HANDLER_BUILTIN; kind <= HANDLER_ACCEPTOR; kind++)
		if (strcmp(key->name, kinds[kind].key) == 0)
			return (enum handler_kind)kind;
	for (int kind = HANDLER_MODULE; kind <= HANDLER_ACCEPTOR; kind++) {
		const struct service_config service = {.kind = (enum handler_kind)kind};

		if (config_key_applies(&service, key->name))
			return service.kind;
	}
	ck_abort_msg("%s is for none", key->name);
}

START_TEST(test_fingerprint_of_each_key)
{
	const struct key *key = &schema[_i];
	struct config *one, *two;
	char *before, *after;

	if (has_no_other_value(key))
		return;
	one = plain_config(kind_for(key), NULL, NULL);
	two = plain_config(kind_for(key), key->name, other_value(key));
	before = config_fingerprint(&one->services[0]);
	after = config_fingerprint(&two->services[0]);
	ck_assert_msg(strcmp(before, after) != 0, "%s", key->name);
	free(before);
	free(after);
	config_free(one);
	config_free(two);
}
END_TEST

static char *fingerprint_of(struct entries *e)
{
	struct config *config = build(e);
	char *text = config_fingerprint(&config->services[0]);

	config_free(config);
	return text;
}

START_TEST(test_fingerprint_is_not_of_the_place)
{
	struct entries *e[4];
	char *text[4];

	for (int i = 0; i < 4; i++)
		e[i] = entries_new();
	add_service(e[0], "a", "tcp://127.0.0.1:0");
	add(e[0], ENTRY_OPTION, "key", "value");
	/* another file, other lines, another service before it is one of the same */
	entries_add_service(e[1], "a", "other.conf", 1234);
	add(e[1], ENTRY_SERVICE, "builtin", "echo");
	add(e[1], ENTRY_SERVICE, "listen", "tcp://127.0.0.1:1");
	add(e[1], ENTRY_OPTION, "key", "value");
	add_service(e[2], "a", "tcp://127.0.0.1:0");
	add(e[2], ENTRY_OPTION, "key", "another");
	add_service(e[3], "a", "tcp://127.0.0.1:0");
	add(e[3], ENTRY_OPTION, "yek", "value");
	for (int i = 0; i < 4; i++)
		text[i] = fingerprint_of(e[i]);
	ck_assert_str_eq(text[0], text[1]);
	ck_assert_str_ne(text[0], text[2]);
	ck_assert_str_ne(text[0], text[3]);
	for (int i = 0; i < 4; i++)
		free(text[i]);
}
END_TEST

static char *fingerprint_with_default(enum handler_kind kind, const struct key *key)
{
	struct entries *e = entries_new();

	trust_proxies(e, key ? key->name : NULL);
	if (key)
		add(e, ENTRY_GLOBAL, key->name, other_value(key));
	entries_add_service(e, "plain", "test.conf", 1);
	add(e, ENTRY_SERVICE, "listen", "tcp://127.0.0.1:0");
	add(e, ENTRY_SERVICE, kinds[kind].key, kinds[kind].value);
	return fingerprint_of(e);
}

/* A default of all reaches the services of those kinds that the key is for, and is no mistake for
 * the others. */
START_TEST(test_fingerprint_of_each_default)
{
	const struct key *key = &schema[_i];

	/* test_config_access knows what allow and deny do. */
	if (key->scope != KEY_DEFAULT || has_no_other_value(key) ||
	    strcmp(key->name, "allow") == 0 || strcmp(key->name, "deny") == 0)
		return;
	for (int kind = HANDLER_BUILTIN; kind <= HANDLER_ACCEPTOR; kind++) {
		const struct service_config service = {.kind = (enum handler_kind)kind};
		char *before = fingerprint_with_default(service.kind, NULL);
		char *after = fingerprint_with_default(service.kind, key);

		ck_assert_msg((strcmp(before, after) != 0) ==
				      config_key_applies(&service, key->name),
			      "%s of %s", key->name, kinds[kind].key);
		free(before);
		free(after);
	}
}
END_TEST

/* Of pools that grow; one that does not is another. */
START_TEST(test_fingerprint_is_not_of_the_size)
{
	static const char *const sizes[][2] = {{"workers_max", "64"},   {"workers_max", "65"},
					       {"workers_max", "6"},    {"spare", "3"},
					       {"shrink_after", "17s"}, {"workers", "4"}};
	char *text[COUNT(sizes)];

	for (int i = 0; i < COUNT(sizes); i++) {
		struct entries *e = entries_new();

		add_service(e, "a", "tcp://127.0.0.1:0");
		add(e, ENTRY_SERVICE, sizes[i][0], sizes[i][1]);
		text[i] = fingerprint_of(e);
	}
	for (int i = 1; i < COUNT(sizes) - 1; i++)
		ck_assert_str_eq(text[i], text[0]);
	ck_assert_str_ne(text[COUNT(sizes) - 1], text[0]);
	for (int i = 0; i < COUNT(sizes); i++)
		free(text[i]);
}
END_TEST

/* An argument more is another program; the same words cut otherwise too. */
START_TEST(test_fingerprint_of_arguments)
{
	static const char *const lists[][4] = {
		{"/a"}, {"/a", ""}, {"/a", "b", "c"}, {"/a", "b c"}, {"/a", "c", "b"}};
	char *text[COUNT(lists)];

	for (int i = 0; i < COUNT(lists); i++) {
		struct entries *e = entries_new();
		struct entry *program;

		entries_add_service(e, "a", "test.conf", 1);
		add(e, ENTRY_SERVICE, "listen", "tcp://127.0.0.1:0");
		program = add(e, ENTRY_SERVICE, "exec", NULL);
		for (int j = 0; lists[i][j]; j++)
			entry_add_value(program, lists[i][j]);
		text[i] = fingerprint_of(e);
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(text[i], text[j]);
	}
	for (int i = 0; i < COUNT(lists); i++)
		free(text[i]);
}
END_TEST

static void set_text(char **field, const char *text)
{
	free(*field);
	*field = mem_text(text);
}

/* The name means another user by now, or what is known of the user is another. */
START_TEST(test_fingerprint_of_who)
{
	struct config *config = plain_config(HANDLER_EXEC, "user", "somebody");
	struct service_config *s = &config->services[0];
	char *text[5];

	text[0] = config_fingerprint(s);
	s->who.uid++;
	text[1] = config_fingerprint(s);
	set_text(&s->who.login, "other");
	text[2] = config_fingerprint(s);
	set_text(&s->who.home, "/home/other");
	text[3] = config_fingerprint(s);
	set_text(&s->who.shell, "/bin/other");
	text[4] = config_fingerprint(s);
	for (int i = 0; i < COUNT(text); i++)
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(text[i], text[j]);
	for (int i = 0; i < COUNT(text); i++)
		free(text[i]);
	config_free(config);
}
END_TEST

static Suite *config_suite(void)
{
	Suite *suite = suite_create("config");
	TCase *dump = tcase_create("dump");

	tcase_add_checked_fixture(dump, set_up, tear_down);
	tcase_add_test(dump, test_dump_is_read_back);
	tcase_add_test(dump, test_programs_are_read_back);
	tcase_add_loop_test(dump, test_dump_holds_every_default, HANDLER_BUILTIN, COUNT(kinds));
	tcase_add_test(dump, test_a_default_reaches_every_service);
	tcase_add_loop_test(dump, test_fingerprint_of_each_key, 0, (int)schema_count);
	tcase_add_loop_test(dump, test_fingerprint_of_each_default, 0, (int)schema_count);
	tcase_add_test(dump, test_fingerprint_is_not_of_the_place);
	tcase_add_test(dump, test_fingerprint_is_not_of_the_size);
	tcase_add_test(dump, test_fingerprint_of_arguments);
	tcase_add_test(dump, test_fingerprint_of_who);
	suite_add_tcase(suite, dump);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(config_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
