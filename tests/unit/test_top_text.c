/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <check.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "ctl/top_canvas.h"

static void use_utf8(void)
{
	ck_assert_ptr_nonnull(setlocale(LC_CTYPE, "C.UTF-8"));
	ck_assert(top_locale_is_utf8());
}

static void use_ascii(void)
{
	ck_assert_ptr_nonnull(setlocale(LC_CTYPE, "C"));
	ck_assert(!top_locale_is_utf8());
}

/* ---- numbers ---- */

static const struct {
	double value;
	const char *number, *time;
} numbers[] = {
	{NAN, "-", "-"},
	{0, "0", "0us"},
	{0.04, "0", "0us"},
	{0.3, "0.3", "0us"},
	{1, "1", "1us"},
	{2.04, "2", "2us"},
	{9.94, "9.9", "10us"},
	{9.96, "10", "10us"},
	{999, "999", "999us"},
	{1234, "1234", "1.2ms"},
	{9999, "9999", "10ms"},
	{9999.6, "10.0k", "10ms"},
	{45678, "45.7k", "46ms"},
	{99960, "100k", "100ms"},
	{999.4e3, "999k", "999ms"},
	{999.6e3, "1.0M", "1.0s"},
	{12.34e6, "12.3M", "12s"},
	{59.9e6, "59.9M", "60s"},
	{61e6, "61.0M", "1m"},
	{3.6e9, "3.6G", "1h"},
	{86400e6, "86.4G", "1d"},
	{18446744073709551615.0, "18.4E", "99999d"},
};

START_TEST(a_number_takes_few_columns)
{
	char text[TOP_NUMBER_MAX];

	ck_assert_str_eq(top_number(text, numbers[_i].value), numbers[_i].number);
	ck_assert_uint_le(strlen(text), 5);
	ck_assert_str_eq(top_time(text, numbers[_i].value), numbers[_i].time);
}
END_TEST

/* No value is wider than its column, where a curve of values goes through every unit. */
START_TEST(no_number_is_wider)
{
	char text[TOP_NUMBER_MAX];

	for (int i = -2 * 300; i < 20 * 300; i++) {
		double value = pow(10, i / 300.0);

		ck_assert_uint_le(strlen(top_number(text, value)), 5);
		if (value < 1e5 * 86400e6)
			ck_assert_uint_le(strlen(top_time(text, value)), 6);
		if (value < 9e5)
			ck_assert_uint_le(strlen(text), 5);
	}
}
END_TEST

/* ---- texts ---- */

static const struct {
	const char *from;
	int columns;
	enum top_elide elide;
	const char *utf8, *ascii;
} texts[] = {
	{"echo", 4, TOP_ELIDE_END, "echo", "echo"},
	{"echo", 3, TOP_ELIDE_END, "ec…", "ec~"},
	{"echo", 1, TOP_ELIDE_END, "…", "~"},
	{"echo", 0, TOP_ELIDE_END, "", ""},
	{"", 5, TOP_ELIDE_END, "", ""},
	{"tcp://127.0.0.1:4711", 13, TOP_ELIDE_MIDDLE, "tcp:…0.1:4711", "tcp:~0.1:4711"},
	{"ab", 1, TOP_ELIDE_MIDDLE, "…", "~"},
	{"a\nb\tc\033[2Jd", 40, TOP_ELIDE_END, "a\\nb\\tc\\x1b[2Jd", "a\\nb\\tc\\x1b[2Jd"},
	{"\377x", 10, TOP_ELIDE_END, "\\xffx", "\\xffx"},
	{"grün", 10, TOP_ELIDE_END, "grün", "gr??n"},
	/* Wide characters take two columns, half of one is none. */
	{"日本語", 6, TOP_ELIDE_END, "日本語", "?????~"},
	{"日本語", 5, TOP_ELIDE_END, "日本…", "????~"},
	{"日本語", 4, TOP_ELIDE_END, "日…", "???~"},
	/* What has no width of its own hangs on to its neighbour. */
	{"e\u0301", 5, TOP_ELIDE_END, "e?", "e??"},
	{"a\u200bb", 5, TOP_ELIDE_END, "a?b", "a???b"},
	/* Right to left override. */
	{"a\u202eb", 20, TOP_ELIDE_END, "a\\xe2\\x80\\xaeb", "a\\xe2\\x80\\xaeb"},
};

static int columns_of(const char *text)
{
	wchar_t wide[256];
	size_t count = mbstowcs(wide, text, 256);

	ck_assert_uint_ne(count, (size_t)-1);
	return wcswidth(wide, count);
}

static void check_text(int i, const char *expected)
{
	char text[TOP_FIT_MAX(64)];
	int used = top_fit(text, texts[i].columns, texts[i].from, texts[i].elide);

	ck_assert_str_eq(text, expected);
	ck_assert_int_eq(used, columns_of(text));
	ck_assert_int_le(used, texts[i].columns);
}

START_TEST(a_text_fits)
{
	use_utf8();
	check_text(_i, texts[_i].utf8);
}
END_TEST

START_TEST(a_text_fits_where_there_is_no_unicode)
{
	use_ascii();
	check_text(_i, texts[_i].ascii);
}
END_TEST

/* Whatever it is, at whatever width. */
START_TEST(noise_fits)
{
	char noise[64], text[TOP_FIT_MAX(80)];

	if (_i)
		use_utf8();
	else
		use_ascii();
	srandom(1);
	for (int i = 0; i < 5000; i++) {
		int width = (int)(random() % 80);

		for (size_t k = 0; k < sizeof(noise) - 1; k++)
			noise[k] = (char)(random() % 255 + 1);
		noise[random() % (long)sizeof(noise)] = '\0';
		noise[sizeof(noise) - 1] = '\0';
		int used = top_fit(text, width, noise, (enum top_elide)(i % 2));
		ck_assert_int_le(used, width);
		ck_assert_int_eq(used, columns_of(text));
	}
}
END_TEST

/* ---- curves ---- */

START_TEST(a_curve)
{
	const float values[] = {NAN, 0, 0.1F, 1, 2, 4, 7};
	const float nothing[] = {0, 0, NAN};
	char text[TOP_FIT_MAX(16)];

	top_curve(text, values, 7, 0, true);
	ck_assert_str_eq(text, " ▁▂▂▃▅█");
	top_curve(text, values, 7, 0, false);
	ck_assert_str_eq(text, " _..:=#");
	/* On a scale of its own, that it leaves at the top. */
	top_curve(text, values, 7, 4, false);
	ck_assert_str_eq(text, " _.:=##");
	top_curve(text, nothing, 3, 0, false);
	ck_assert_str_eq(text, "__ ");
}
END_TEST

/* ---- the canvas ---- */

START_TEST(a_line_is_never_wider)
{
	struct top_canvas canvas = {0};

	use_utf8();
	for (int width = 1; width < 30; width++) {
		ck_assert_int_eq(top_canvas_reset(&canvas, 2, width), 0);
		struct top_line *line = top_canvas_line(&canvas);

		top_add(&canvas, line, TOP_TITLE, "%s", "日本");
		top_add_cell(&canvas, line, TOP_DIM, 9, TOP_RIGHT, TOP_ELIDE_END, "right");
		top_add_cell(&canvas, line, TOP_PLAIN, 100, TOP_LEFT, TOP_ELIDE_END, "left");
		ck_assert_int_eq(top_left(&canvas, line), 0);
		ck_assert_int_eq(columns_of(line->text), width);
	}
	ck_assert_str_eq(canvas.lines[0].text, "日本    rightleft            ");
	ck_assert_int_eq(canvas.lines[0].span_count, 3);
	ck_assert_int_eq(canvas.lines[0].spans[1].column, 4);
	top_canvas_free(&canvas);
}
END_TEST

START_TEST(many_spans)
{
	struct top_canvas canvas = {0};

	use_utf8();
	ck_assert_int_eq(top_canvas_reset(&canvas, 1, 200), 0);
	struct top_line *line = top_canvas_line(&canvas);
	for (unsigned i = 0; i < 300; i++)
		top_add(&canvas, line, i % 2 ? TOP_DIM : TOP_TITLE, "x");
	ck_assert_int_eq(line->span_count, TOP_SPANS);
	ck_assert_uint_eq(line->spans[TOP_SPANS - 1].end, 200);
	ck_assert_uint_eq(line->length, 200);
	top_canvas_free(&canvas);
}
END_TEST

START_TEST(lines_of_a_window)
{
	struct top_canvas canvas = {0};

	ck_assert_int_eq(top_canvas_reset(&canvas, 4, 10), 0);
	ck_assert_ptr_eq(top_canvas_line(&canvas), &canvas.lines[0]);
	top_canvas_begin(&canvas, 2, 1);
	ck_assert_ptr_null(top_canvas_line(&canvas));
	ck_assert_ptr_eq(top_canvas_line(&canvas), &canvas.lines[1]);
	ck_assert_ptr_eq(top_canvas_line(&canvas), &canvas.lines[2]);
	ck_assert_ptr_null(top_canvas_line(&canvas));
	top_canvas_end(&canvas);
	ck_assert_ptr_eq(top_canvas_line(&canvas), &canvas.lines[3]);
	ck_assert_ptr_null(top_canvas_line(&canvas));
	/* What is added to no line is lost. */
	top_add(&canvas, NULL, TOP_PLAIN, "lost");
	/* A window of lines that are not used is left at its end all the same. */
	ck_assert_int_eq(top_canvas_reset(&canvas, 4, 10), 0);
	top_canvas_begin(&canvas, 3, 0);
	top_canvas_end(&canvas);
	ck_assert_ptr_eq(top_canvas_line(&canvas), &canvas.lines[3]);
	top_canvas_begin(&canvas, -1, 0);
	ck_assert_ptr_null(top_canvas_line(&canvas));
	top_canvas_free(&canvas);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("top_text");
	TCase *t = tcase_create("all");

	tcase_add_loop_test(t, a_number_takes_few_columns, 0,
			    (int)(sizeof(numbers) / sizeof(numbers[0])));
	tcase_add_test(t, no_number_is_wider);
	tcase_add_loop_test(t, a_text_fits, 0, (int)(sizeof(texts) / sizeof(texts[0])));
	tcase_add_loop_test(t, a_text_fits_where_there_is_no_unicode, 0,
			    (int)(sizeof(texts) / sizeof(texts[0])));
	tcase_add_loop_test(t, noise_fits, 0, 2);
	tcase_add_test(t, a_curve);
	tcase_add_test(t, a_line_is_never_wider);
	tcase_add_test(t, many_spans);
	tcase_add_test(t, lines_of_a_window);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());

	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
