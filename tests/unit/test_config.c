/* SPDX-License-Identifier: ISC */
/* What is dumped is read back to the same; what fingerprints tell apart. */
#include <config.h>

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
	ck_assert_uint_eq(again->service_count, 3);
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

START_TEST(test_dump_holds_every_default)
{
	struct entries *e = entries_new();
	struct config *config;
	char *text;

	add_service(e, "plain", "tcp://127.0.0.1:0");
	config = build(e);
	text = config_dump(config);
	for (size_t i = 0; i < schema_count; i++) {
		char *line = mem_format("%s%s = ", schema[i].scope == KEY_MASTER ? "" : "\t",
					schema[i].name);

		ck_assert_msg(strstr(text, line) != NULL, "no %s", line);
		free(line);
	}
	free(text);
	config_free(config);
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
	if (key->type == &type_bool)
		return strcmp(key->fallback, "true") == 0 ? "false" : "true";
	if (key->type == &type_mode)
		return "0123";
	if (key->type == &type_choice)
		return key->names[0];
	if (key->type == &type_optional)
		return "17";
	if (key->type == &type_optional_size)
		return "17M";
	return "/other";
}

static struct config *plain_config(const char *key, const char *value)
{
	struct entries *e = entries_new();

	entries_add_service(e, "plain", "test.conf", 1);
	add(e, ENTRY_SERVICE, "listen", "tcp://127.0.0.1:0");
	add(e, ENTRY_SERVICE, "module", "plain");
	if (key)
		add(e, ENTRY_SERVICE, key, value);
	return build(e);
}

/* The daemon's own, the identity of the pools, whether there are any; and of builtin and module a
 * service has one. */
static bool has_no_other_value(const struct key *key)
{
	static const char *const names[] = {"listen", "enabled", "builtin", "module"};

	for (int i = 0; i < COUNT(names); i++)
		if (strcmp(key->name, names[i]) == 0)
			return true;
	return key->scope == KEY_MASTER;
}

START_TEST(test_fingerprint_of_each_key)
{
	const struct key *key = &schema[_i];
	struct config *one = plain_config(NULL, NULL), *two;
	char *before, *after;

	if (has_no_other_value(key)) {
		config_free(one);
		return;
	}
	two = plain_config(key->name, other_value(key));
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

START_TEST(test_fingerprint_of_who)
{
	struct config *config = plain_config("user", "somebody");
	struct service_config *s = &config->services[0];
	char *before = config_fingerprint(s), *after;

	/* The name means another user by now. */
	s->who.uid++;
	after = config_fingerprint(s);
	ck_assert_str_ne(before, after);
	free(before);
	free(after);
	config_free(config);
}
END_TEST

static Suite *config_suite(void)
{
	Suite *suite = suite_create("config");
	TCase *dump = tcase_create("dump");

	tcase_add_checked_fixture(dump, set_up, tear_down);
	tcase_add_test(dump, test_dump_is_read_back);
	tcase_add_test(dump, test_dump_holds_every_default);
	tcase_add_test(dump, test_a_default_reaches_every_service);
	tcase_add_loop_test(dump, test_fingerprint_of_each_key, 0, (int)schema_count);
	tcase_add_test(dump, test_fingerprint_is_not_of_the_place);
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
