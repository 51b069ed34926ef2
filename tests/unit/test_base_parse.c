/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(*(array))))
#define UNTOUCHED    UINT64_C(0x5a5a5a5a5a5a5a5a)
#define BAD          UINT64_MAX /* as the wanted value: the text must be refused */

static const struct {
	const char *text;
	uint64_t min, max, want;
	bool ok;
} uints[] = {
	{"0", 0, 9, 0, true},
	{"9", 0, 9, 9, true},
	{"007", 0, 9, 7, true},
	{"000000000000000000000000000000000001", 0, 9, 1, true},
	{"18446744073709551615", 0, UINT64_MAX, UINT64_MAX, true},
	{"5", 5, 5, 5, true},
	{"18446744073709551616", 0, UINT64_MAX, 0, false},
	{"18446744073709551620", 0, UINT64_MAX, 0, false},
	{"99999999999999999999999", 0, UINT64_MAX, 0, false},
	{"10", 0, 9, 0, false},
	{"4", 5, 9, 0, false},
	{"", 0, 9, 0, false},
	{" ", 0, 9, 0, false},
	{" 1", 0, 9, 0, false},
	{"1 ", 0, 9, 0, false},
	{"1\n", 0, 9, 0, false},
	{"+1", 0, 9, 0, false},
	{"-1", 0, UINT64_MAX, 0, false},
	{"-0", 0, 9, 0, false},
	{"1x", 0, 99, 0, false},
	{"10x", 0, 99, 0, false},
	{"0x1", 0, 99, 0, false},
	{"1.0", 0, 99, 0, false},
	{"1e1", 0, 99, 0, false},
	{"1,000", 0, 9999, 0, false},
	{"\xd9\xa1", 0, 9, 0, false},
	{"x", 0, 9, 0, false},
	{":", 0, 99, 0, false},
	{"/", 0, 99, 0, false},
};

START_TEST(test_uint)
{
	uint64_t value = UNTOUCHED;
	int result = parse_uint(uints[_i].text, uints[_i].min, uints[_i].max, &value);

	ck_assert_int_eq(result, uints[_i].ok ? 0 : -1);
	ck_assert_uint_eq(value, uints[_i].ok ? uints[_i].want : UNTOUCHED);
}
END_TEST

static const struct {
	const char *text;
	unsigned want;
	bool ok;
} modes[] = {
	{"0", 0, true},
	{"660", 0660, true},
	{"0660", 0660, true},
	{"00777", 0777, true},
	{"0000", 0, true},
	{"1", 1, true},
	{"01000", 0, false},
	{"1777", 0, false},
	{"8", 0, false},
	{"668", 0, false},
	{"", 0, false},
	{"-660", 0, false},
	{"0x1ff", 0, false},
	{"0o660", 0, false},
	{"660 ", 0, false},
	{" 660", 0, false},
	{"u=rw", 0, false},
	{"+660", 0, false},
	{"7777777777777777777777777", 0, false},
	{"2000000000000000000000", 0, false},
};

START_TEST(test_mode)
{
	unsigned mode = 012345;

	ck_assert_int_eq(parse_mode(modes[_i].text, &mode), modes[_i].ok ? 0 : -1);
	ck_assert_uint_eq(mode, modes[_i].ok ? modes[_i].want : 012345U);
}
END_TEST

static const struct {
	const char *text;
	int want; /* -1: refused */
} bools[] = {
	{"true", 1},   {"yes", 1},  {"on", 1},   {"1", 1},  {"false", 0}, {"no", 0},
	{"off", 0},    {"0", 0},    {"", -1},    {"2", -1}, {"01", -1},   {"tru", -1},
	{"truee", -1}, {" on", -1}, {"on ", -1}, {"y", -1}, {"ja", -1},   {"-1", -1},
};

START_TEST(test_bool)
{
	bool off = false, on = true;
	int result = bools[_i].want < 0 ? -1 : 0;

	ck_assert_int_eq(parse_bool(bools[_i].text, &off), result);
	ck_assert_int_eq(parse_bool(bools[_i].text, &on), result);
	ck_assert_int_eq(off, bools[_i].want > 0);
	ck_assert_int_eq(on, bools[_i].want != 0);
}
END_TEST

static const struct {
	const char *text;
	uint64_t want;
} durations[] = {
	{"0", 0},
	{"00", 0},
	{"0ms", 0},
	{"0s", 0},
	{"0d", 0},
	{"1ms", 1000},
	{"500ms", 500000},
	{"30s", 30 * USEC_PER_SEC},
	{"030s", 30 * USEC_PER_SEC},
	{"5m", 300 * USEC_PER_SEC},
	{"1h", 3600 * USEC_PER_SEC},
	{"1d", 86400 * USEC_PER_SEC},
	{"90s", 90 * USEC_PER_SEC},
	{"18446744073709551ms", UINT64_C(18446744073709551000)},
	{"18446744073709552ms", BAD},
	{"18446744073709551616ms", BAD},
	{"213503983d", BAD},
	{"1", BAD},
	{"30", BAD},
	{"01", BAD},
	{"", BAD},
	{"s", BAD},
	{"ms", BAD},
	{"10x", BAD},
	{"1us", BAD},
	{"1min", BAD},
	{"1S", BAD},
	{"1sec", BAD},
	{"1.5s", BAD},
	{"1 s", BAD},
	{" 1s", BAD},
	{"1s ", BAD},
	{"+1s", BAD},
	{"-1s", BAD},
	{"1h30m", BAD},
	{"0x1s", BAD},
	{"infinity", BAD},
};

START_TEST(test_duration)
{
	uint64_t usec = UNTOUCHED;
	bool ok = durations[_i].want != BAD;

	ck_assert_int_eq(parse_duration(durations[_i].text, &usec), ok ? 0 : -1);
	ck_assert_uint_eq(usec, ok ? durations[_i].want : UNTOUCHED);
}
END_TEST

static const struct {
	const char *text;
	uint64_t want;
} sizes[] = {
	{"0", 0},
	{"0K", 0},
	{"512", 512},
	{"00512", 512},
	{"1K", 1024},
	{"64K", 65536},
	{"10M", 10 << 20},
	{"2G", UINT64_C(2) << 30},
	{"17179869183G", UINT64_C(17179869183) << 30},
	{"17179869184G", BAD},
	{"18446744073709551616", BAD},
	{"18014398509481984K", BAD},
	{"", BAD},
	{"K", BAD},
	{"10x", BAD},
	{"1k", BAD},
	{"1KB", BAD},
	{"1KiB", BAD},
	{"1B", BAD},
	{"1T", BAD},
	{"1 K", BAD},
	{" 1K", BAD},
	{"1K ", BAD},
	{"-1K", BAD},
	{"+1", BAD},
	{"1.5M", BAD},
};

START_TEST(test_size)
{
	uint64_t bytes = UNTOUCHED;
	bool ok = sizes[_i].want != BAD;

	ck_assert_int_eq(parse_size(sizes[_i].text, &bytes), ok ? 0 : -1);
	ck_assert_uint_eq(bytes, ok ? sizes[_i].want : UNTOUCHED);
}
END_TEST

/* The largest number itself is a value and not a refusal. */
START_TEST(test_size_largest)
{
	uint64_t bytes = 0;

	ck_assert_int_eq(parse_size("18446744073709551615", &bytes), 0);
	ck_assert_uint_eq(bytes, UINT64_MAX);
}
END_TEST

static const struct {
	const char *text;
	uint64_t count, per_usec;
	bool ok;
} rates[] = {
	{"0", 0, 0, true},
	{"00", 0, 0, true},
	{"0/s", 0, 0, true},
	{"0/h", 0, 0, true},
	{"100/s", 100, USEC_PER_SEC, true},
	{"0100/s", 100, USEC_PER_SEC, true},
	{"600/m", 600, 60 * USEC_PER_SEC, true},
	{"10/h", 10, 3600 * USEC_PER_SEC, true},
	{"18446744073709551615/s", UINT64_MAX, USEC_PER_SEC, true},
	{"18446744073709551616/s", 0, 0, false},
	{"", 0, 0, false},
	{"/s", 0, 0, false},
	{"1", 0, 0, false},
	{"10x", 0, 0, false},
	{"1/", 0, 0, false},
	{"1/d", 0, 0, false},
	{"1/ms", 0, 0, false},
	{"1/ss", 0, 0, false},
	{"1/S", 0, 0, false},
	{"1 /s", 0, 0, false},
	{"1/ s", 0, 0, false},
	{" 1/s", 0, 0, false},
	{"1/s ", 0, 0, false},
	{"1/2s", 0, 0, false},
	{"-1/s", 0, 0, false},
	{"+1/s", 0, 0, false},
	{"1.5/s", 0, 0, false},
};

START_TEST(test_rate)
{
	struct rate rate = {UNTOUCHED, UNTOUCHED};

	ck_assert_int_eq(parse_rate(rates[_i].text, &rate), rates[_i].ok ? 0 : -1);
	ck_assert_uint_eq(rate.count, rates[_i].ok ? rates[_i].count : UNTOUCHED);
	ck_assert_uint_eq(rate.per_usec, rates[_i].ok ? rates[_i].per_usec : UNTOUCHED);
}
END_TEST

static const struct {
	const char *from, *to;
} shortest_durations[] = {
	{"0", "0"},       {"0s", "0"},          {"1ms", "1ms"},   {"999ms", "999ms"},
	{"1000ms", "1s"}, {"1500ms", "1500ms"}, {"59s", "59s"},   {"60s", "1m"},
	{"90s", "90s"},   {"3600s", "1h"},      {"60m", "1h"},    {"24h", "1d"},
	{"36h", "36h"},   {"1440m", "1d"},      {"365d", "365d"}, {"18446744073709551ms", NULL},
};

START_TEST(test_format_duration)
{
	const char *from = shortest_durations[_i].from, *to = shortest_durations[_i].to;
	char text[PARSE_TEXT_MAX];
	uint64_t usec, again;

	ck_assert_int_eq(parse_duration(from, &usec), 0);
	ck_assert_ptr_eq(format_duration(text, usec), text);
	ck_assert_str_eq(text, to ? to : from);
	ck_assert_int_eq(parse_duration(text, &again), 0);
	ck_assert_uint_eq(again, usec);
}
END_TEST

START_TEST(test_format_duration_rounds_up)
{
	char text[PARSE_TEXT_MAX];

	ck_assert_str_eq(format_duration(text, 1), "1ms");
	ck_assert_str_eq(format_duration(text, 1001), "2ms");
	ck_assert_str_eq(format_duration(text, 1000001), "1001ms");
	ck_assert_str_eq(format_duration(text, UINT64_MAX), "18446744073709552ms");
}
END_TEST

static const struct {
	const char *from, *to;
} shortest_sizes[] = {
	{"0", "0"},
	{"0G", "0"},
	{"1", "1"},
	{"1023", "1023"},
	{"1024", "1K"},
	{"1025", "1025"},
	{"65536", "64K"},
	{"1024K", "1M"},
	{"1536K", "1536K"},
	{"1024M", "1G"},
	{"10M", "10M"},
	{"2048G", "2048G"},
	{"18446744073709551615", "18446744073709551615"},
};

START_TEST(test_format_size)
{
	char text[PARSE_TEXT_MAX];
	uint64_t bytes, again;

	ck_assert_int_eq(parse_size(shortest_sizes[_i].from, &bytes), 0);
	ck_assert_ptr_eq(format_size(text, bytes), text);
	ck_assert_str_eq(text, shortest_sizes[_i].to);
	ck_assert_int_eq(parse_size(text, &again), 0);
	ck_assert_uint_eq(again, bytes);
}
END_TEST

static const struct {
	const char *from, *to;
} shortest_rates[] = {
	{"0", "0"},       {"0/m", "0"},     {"100/s", "100/s"}, {"600/m", "600/m"},
	{"60/m", "60/m"}, {"10/h", "10/h"}, {"010/h", "10/h"},  {"18446744073709551615/h", NULL},
};

START_TEST(test_format_rate)
{
	const char *from = shortest_rates[_i].from, *to = shortest_rates[_i].to;
	char text[PARSE_TEXT_MAX];
	struct rate rate, again;

	ck_assert_int_eq(parse_rate(from, &rate), 0);
	ck_assert_ptr_eq(format_rate(text, rate), text);
	ck_assert_str_eq(text, to ? to : from);
	ck_assert_int_eq(parse_rate(text, &again), 0);
	ck_assert_uint_eq(again.count, rate.count);
	ck_assert_uint_eq(again.per_usec, rate.per_usec);
}
END_TEST

START_TEST(test_format_rate_zeroed)
{
	char text[PARSE_TEXT_MAX];

	ck_assert_str_eq(format_rate(text, (struct rate){0}), "0");
}
END_TEST

static Suite *parse_suite(void)
{
	Suite *suite = suite_create("base/parse");
	TCase *numbers = tcase_create("numbers"), *units = tcase_create("units");
	TCase *formats = tcase_create("formats");

	tcase_add_loop_test(numbers, test_uint, 0, COUNT(uints));
	tcase_add_loop_test(numbers, test_mode, 0, COUNT(modes));
	tcase_add_loop_test(numbers, test_bool, 0, COUNT(bools));
	tcase_add_loop_test(units, test_duration, 0, COUNT(durations));
	tcase_add_loop_test(units, test_size, 0, COUNT(sizes));
	tcase_add_test(units, test_size_largest);
	tcase_add_loop_test(units, test_rate, 0, COUNT(rates));
	tcase_add_loop_test(formats, test_format_duration, 0, COUNT(shortest_durations));
	tcase_add_test(formats, test_format_duration_rounds_up);
	tcase_add_loop_test(formats, test_format_size, 0, COUNT(shortest_sizes));
	tcase_add_loop_test(formats, test_format_rate, 0, COUNT(shortest_rates));
	tcase_add_test(formats, test_format_rate_zeroed);
	suite_add_tcase(suite, numbers);
	suite_add_tcase(suite, units);
	suite_add_tcase(suite, formats);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(parse_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
