/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/entries.h"
#include "config/scan.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(*(array))))
#define NONE         "'" SCAN_EMPTY_LIST "'"

/* ---- what passes, and what libconfuse is given ---- */

static const struct {
	const char *text, *out;
} good[] = {
	{"", ""},
	{"a = b\n", "a = b\n"},
	{"a = \"b # c\"", "a = \"b # c\""},
	{"a = '// b'", "a = '// b'"},
	{"a = \"/* b\" c = \"*/\"", "a = \"/* b\" c = \"*/\""},
	{"# a \"\nb", "     \nb"},
	{"// a '\nb", "      \nb"},
	{"/* { */a", "       a"},
	{"/* \" \n ' */a", "     \n     a"},
	{"/**/a", "    a"},
	{"/***/a", "     a"},
	{"/* /* */a", "        a"},
	{"/* // */a", "        a"},
	{"/*/ */a", "      a"},
	{"# /*\na", "    \na"},
	{"a = b# c\n", "a = b   \n"},
	{"a = tcp://b/c\n", "a = tcp://b/c\n"},
	{"a =//b\nc", "a =   \nc"},
	{"a = {b,/*c*/d}", "a = {b,     d}"},
	{"a = \"\\\"\" # b", "a = \"\\\"\"    "},
	{"a = '\\'' # b", "a = '\\''    "},
	{"a = \"\\\\\" # b", "a = \"\\\\\"    "},
	{"a = \"\\101\\0\\377\\x41\\n\"", "a = \"\\101\\0\\377\\x41\\n\""},
	{"a = '\\999'", "a = '\\999'"},
	{"a = \"b\nc\" # d", "a = \"b\nc\"    "},
	{"a {\nb { } }\n", "a {\nb { } }\n"},
	/* nobody is called for an empty list: one of a value that stands for it */
	{"a = {}", "a = {" NONE "}"},
	{"a={}", "a={" NONE "}"},
	{"a = { /* b */ }", "a = {         " NONE "}"},
	{"a = {\n\n}\n", "a = {\n\n" NONE "}\n"},
	{"a = /* b */ {}", "a =         {" NONE "}"},
	{"a = {} b = {} c {}", "a = {" NONE "} b = {" NONE "} c {}"},
	{"a += {}", "a += {" NONE "}"},
	{"a = {b}", "a = {b}"},
	{"a = {''}", "a = {''}"},
	{"a = {\"\"}", "a = {\"\"}"},
	{"options {}", "options {}"},
	{"a = \"={\" }{", NULL}, /* not of a string: and the brace closes nothing */
};

START_TEST(test_good)
{
	const char *wrong = "";
	int line = 0;
	char *out = scan_syntax(good[_i].text, &wrong, &line);

	if (good[_i].out) {
		ck_assert_msg(out != NULL, "%s: %s", good[_i].text, wrong);
		ck_assert_ptr_null(wrong);
		ck_assert_str_eq(out, good[_i].out);
	} else {
		ck_assert_ptr_null(out);
	}
	free(out);
}
END_TEST

/* The list that grows most, of every length: into memory that is just enough. */
START_TEST(test_only_empty_lists)
{
	char text[1024] = "";
	const char *wrong;
	int line;

	for (int i = 0; i < 300; i++) {
		char *out;

		strcat(text, "={}");
		out = scan_syntax(text, &wrong, &line);
		ck_assert_ptr_nonnull(out);
		ck_assert_uint_eq(strlen(out), strlen(text) + (size_t)(i + 1) * strlen(NONE));
		free(out);
	}
}
END_TEST

/* ---- what does not pass ---- */

static const struct {
	const char *text, *wrong;
	int line;
} bad[] = {
	{"{", "a brace that is never closed", 1},
	{"a {\n b {\n }\n", "a brace that is never closed", 1},
	{"a {\n b {\n", "a brace that is never closed", 2},
	{"}", "a closing brace that closes nothing", 1},
	{"a {\n}\n\n}", "a closing brace that closes nothing", 4},
	{"a = \"", "a string that is never closed", 1},
	{"\n\na = \"b\n\n", "a string that is never closed", 3},
	{"a = 'b\"", "a string that is never closed", 1},
	{"a = \"b'", "a string that is never closed", 1},
	{"a = \"b\\\"", "a string that is never closed", 1},
	{"a = \"b\\", "a string that is never closed", 1},
	{"a = 'b\\'", "a string that is never closed", 1},
	{"a = b\"c", "a string that is never closed", 1},
	{"/*", "a comment that is never closed", 1},
	{"\n/* a\n\n", "a comment that is never closed", 2},
	{"/*/", "a comment that is never closed", 1},
	{"/* *", "a comment that is never closed", 1},
	{"/* \"*/ \"", "a string that is never closed", 1},
	{"a = \"\\400\"", "a bad escape in a string", 1},
	{"a = \"b\n\\1234\"", "a bad escape in a string", 2},
	{"a = \"\\8\"", "a bad escape in a string", 1},
	{"a = \"\\99\"", "a bad escape in a string", 1},
	{"a = b\nc = *", "an asterisk outside of quotes", 2},
	{"a = b*", "an asterisk outside of quotes", 1},
	{"a = b/*c\n*/", "an asterisk outside of quotes", 1},
	{"listen = {tcp://*:7}", "an asterisk outside of quotes", 1},
	{"*/ a", "an asterisk outside of quotes", 1},
	{"a = b+", "a plus sign outside of quotes", 1},
	{"a = b+c", "a plus sign outside of quotes", 1},
	{"a = +7", "a plus sign outside of quotes", 1},
	{"# a\n/* b\n */ \"c\n\" }", "a closing brace that closes nothing", 4},
	{"a = {'b\n', \"c\n\"}\n}", "a closing brace that closes nothing", 4},
};

START_TEST(test_bad)
{
	const char *wrong = NULL;
	int line = 0;

	ck_assert_ptr_null(scan_syntax(bad[_i].text, &wrong, &line));
	ck_assert_ptr_nonnull(wrong);
	ck_assert_msg(strncmp(wrong, bad[_i].wrong, strlen(bad[_i].wrong)) == 0, "%s: %s",
		      bad[_i].text, wrong);
	ck_assert_int_eq(line, bad[_i].line);
}
END_TEST

START_TEST(test_nesting)
{
	char text[256];
	const char *wrong;
	int line;

	for (size_t depth = 1; depth <= 100; depth++) {
		char *out;

		memset(text, '{', depth);
		memset(text + depth, '}', depth);
		text[2 * depth] = '\0';
		out = scan_syntax(text, &wrong, &line);
		ck_assert((out != NULL) == (depth <= 64));
		if (!out)
			ck_assert_str_eq(wrong, "braces nested too deeply");
		free(out);
	}
}
END_TEST

/* ---- agreement with libconfuse ---- */

static char file[] = "/tmp/test_scan.XXXXXX";

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

/* Reads a text as entries; NULL with errors in it. */
static struct entries *read_text(const char *text)
{
	struct error_list errors = {0};
	struct entries *entries = entries_new();
	FILE *fp = fopen(file, "w");

	ck_assert_ptr_nonnull(fp);
	fputs(text, fp);
	ck_assert_int_eq(fclose(fp), 0);
	if (entries_read(entries, file, &errors) < 0) {
		ck_assert_uint_gt(errors.count, 0);
		entries_free(entries);
		entries = NULL;
	}
	error_list_free(&errors);
	return entries;
}

static const struct {
	const char *text, *value;
} values[] = {
	{"echo", "echo"},
	{"\"echo\"", "echo"},
	{"'echo'", "echo"},
	{"\"\"", ""},
	{"''", ""},
	{"\"a # b\"", "a # b"},
	{"\"a // b /* c */\"", "a // b /* c */"},
	{"'a # b'", "a # b"},
	{"\"a\\\"b\"", "a\"b"},
	{"'a\\'b'", "a'b"},
	{"'a\"b'", "a\"b"},
	{"\"a'b\"", "a'b"},
	{"\"a\\\\\"", "a\\"},
	{"'a\\\\'", "a\\"},
	{"\"a\\tb\\nc\"", "a\tb\nc"},
	{"\"\\101\\x42\"", "AB"},
	{"\"a\nb\"", "a\nb"},
	{"'a\nb'", "a\nb"},
	{"\"{\"", "{"},
	{"'}'", "}"},
	{"'${HOME}'", "${HOME}"},
	{"tcp://127.0.0.1:7", "tcp://127.0.0.1:7"},
	{"a/b//c", "a/b//c"},
	{"echo# c", "echo"},
	{"echo // c", "echo"},
	{"/* c */echo", "echo"},
	{"# c\n\"echo\"", "echo"},
};

START_TEST(test_values)
{
	char text[256];
	struct entries *entries;

	snprintf(text, sizeof(text), "builtin = %s\nlog_level = debug\n", values[_i].text);
	entries = read_text(text);
	ck_assert_msg(entries != NULL, "%s", text);
	ck_assert_uint_ge(entries->count, 2);
	ck_assert_str_eq(entries->items[0].key, "builtin");
	ck_assert_uint_eq(entries->items[0].count, 1);
	ck_assert_str_eq(entries->items[0].values[0], values[_i].value);
	ck_assert_str_eq(entries->items[entries->count - 1].key, "log_level");
	entries_free(entries);
}
END_TEST

/* libconfuse stops at these without a word, and would leave out what follows. */
static const char *const refused[] = {
	"\"\"\n", "'' = 7\n", "\"\" {}\n", "log_level = debug '' workers = 7\n", "\"\" ''\n",
};

START_TEST(test_refused)
{
	ck_assert_ptr_null(read_text(refused[_i]));
}
END_TEST

static const char *const tokens[] = {
	"listen = {", "}",  ",",   "\"",       "'",   "\\",   "a",         "#",
	"//",         "/*", "*/",  "\n",       "b =", "echo", "service s", "{",
	"options {",  "=",  "+=",  "\\101",    " ",   "\t",   "${",        "(",
	")",          "+",  "\\n", "workers=", "= 7", "{}",   "/",         "*",
};

static void random_text(char *text, unsigned *seed)
{
	*text = '\0';
	for (int i = rand_r(seed) % 12; i >= 0; i--)
		strcat(text, tokens[rand_r(seed) % COUNT(tokens)]);
}

/*
 * Whatever the two think of a text, they think the same of where its strings, comments and sections
 * end: if both accept it, a key behind it is read.
 */
START_TEST(test_what_follows_is_read)
{
	unsigned seed = (unsigned)_i, accepted = 0;

	for (int i = 0; i < 4000; i++) {
		char text[256], whole[300];
		struct entries *entries;
		const struct entry *last;

		random_text(text, &seed);
		snprintf(whole, sizeof(whole), "%s\nlog_level = \"debug\"\n", text);
		entries = read_text(whole);
		if (!entries)
			continue;
		accepted++;
		ck_assert_msg(entries->count > 0, "%s", whole);
		last = &entries->items[entries->count - 1];
		ck_assert_msg(strcmp(last->key, "log_level") == 0, "%s", whole);
		ck_assert_msg(last->scope == ENTRY_GLOBAL, "%s", whole);
		ck_assert_msg(last->count == 1 && strcmp(last->values[0], "debug") == 0, "%s",
			      whole);
		entries_free(entries);
	}
	ck_assert_uint_gt(accepted, 100);
}
END_TEST

static Suite *scan_suite(void)
{
	Suite *suite = suite_create("scan");
	TCase *scan = tcase_create("scan"), *confuse = tcase_create("libconfuse");

	tcase_add_loop_test(scan, test_good, 0, COUNT(good));
	tcase_add_test(scan, test_only_empty_lists);
	tcase_add_loop_test(scan, test_bad, 0, COUNT(bad));
	tcase_add_test(scan, test_nesting);
	tcase_set_timeout(confuse, 60);
	tcase_add_checked_fixture(confuse, set_up, tear_down);
	tcase_add_loop_test(confuse, test_values, 0, COUNT(values));
	tcase_add_loop_test(confuse, test_refused, 0, COUNT(refused));
	tcase_add_loop_test(confuse, test_what_follows_is_read, 0, 4);
	suite_add_tcase(suite, scan);
	suite_add_tcase(suite, confuse);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(scan_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
