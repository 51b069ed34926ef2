/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <curses.h>
#include <math.h>
#include <wchar.h>

#include "test_top.h"

static struct top_model model;
static struct top_canvas canvas;

static void draw(int height, int width)
{
	ck_assert_int_eq(top_canvas_reset(&canvas, height, width), 0);
	top_screen(&model, &canvas);
}

static void end(void)
{
	top_canvas_free(&canvas);
	top_model_free(&model);
}

/* The line that holds a text, or -1. */
static int find(const char *text)
{
	for (int i = 0; i < canvas.height; i++)
		if (strstr(canvas.lines[i].text, text))
			return i;
	return -1;
}

#define ck_assert_shown(text)     ck_assert_msg(find(text) >= 0, "no \"%s\"", (text))
#define ck_assert_not_shown(text) ck_assert_msg(find(text) < 0, "\"%s\"", (text))

/* The style of a text. */
static unsigned style_of(const char *text)
{
	int at = find(text);

	ck_assert_msg(at >= 0, "no \"%s\"", text);
	const struct top_line *line = &canvas.lines[at];
	size_t byte = (size_t)(strstr(line->text, text) - line->text);
	unsigned style = TOP_STYLES;

	for (int i = 0; i < line->span_count; i++)
		if (line->spans[i].begin <= byte && byte < line->spans[i].end)
			style = line->spans[i].style;
	return style;
}

static int columns_of(const char *text)
{
	static wchar_t wide[8192];
	size_t count = mbstowcs(wide, text, 8192);

	ck_assert_uint_ne(count, (size_t)-1);
	return wcswidth(wide, count);
}

/* Two looks at so many pools, each with a worker that is busy. */
static void look_at(uint32_t pools)
{
	init(&model);
	for (int second = 0; second < 2; second++) {
		struct snapshot s = make_snapshot(pools, second);

		for (uint32_t i = 0; i < pools && i < TEST_WORKERS; i++)
			add_worker(&s, i, (uint16_t)(4000 + i));
		for (uint32_t i = 0; i < pools; i++)
			s.pools[i].connections[CONN_accepted] = 1000 + (unsigned)second * 10;
		take(&model, s);
	}
}

START_TEST(a_usual_screen)
{
	look_at(3);
	draw(24, 80);
	ck_assert_shown("preforkd main  running  generation 3  up 1s  pid 77  0.1.0");
	ck_assert_shown("rate 30/s  busy 3  ready 12  max 12  queued 0  refused 0/s  errors 0/s");
	ck_assert_shown(" a        tcp://127.0.0.1:8000");
	ck_assert_shown("  1/4/4     10 ");
	ck_assert_int_eq(find("q quit"), 23);
	ck_assert_int_eq(find("─ a tcp://127.0.0.1:8000  echo ─"), 19);
	ck_assert_shown(" 1 of 3 ─");
	ck_assert_uint_eq(style_of("running"), TOP_GOOD);
	ck_assert_uint_eq(style_of("SERVICE"), TOP_SORTED);
	ck_assert_uint_eq(style_of("ADDRESS"), TOP_HEADER);
	ck_assert_uint_eq(style_of("a        tcp"), TOP_PLAIN | TOP_SELECTED);
	ck_assert_uint_eq(style_of("b        tcp"), TOP_PLAIN);
	end();
}
END_TEST

START_TEST(what_is_wrong_is_seen_without_colour)
{
	struct snapshot s;

	look_at(3);
	s = make_snapshot(4, 3);
	s.pools[1].values[POOL_workers_ready] = 3;
	for (uint16_t i = 1; i <= 4; i++)
		add_worker(&s, 2, i);
	s.pools[3].values[POOL_backoff_usec] = 800000;
	take(&model, s);
	draw(24, 140);
	ck_assert_shown("running, degraded");
	ck_assert_shown("!b ");
	ck_assert_shown("*c ");
	ck_assert_shown("!d ");
	ck_assert_shown("backs off 800 ms");
	ck_assert_uint_eq(style_of("!b "), TOP_DEGRADED);
	ck_assert_uint_eq(style_of("*c "), TOP_FULL);
	top_press(&model, 'j');
	draw(24, 140);
	ck_assert_uint_eq(style_of("!b "), TOP_DEGRADED | TOP_SELECTED);
	end();
}
END_TEST

/* Every line has what it says it has, and is no wider than the screen. */
static void check_canvas(int height, int width)
{
	for (int i = 0; i < height; i++) {
		const struct top_line *line = &canvas.lines[i];
		size_t byte = 0;

		ck_assert_int_le(line->columns, width);
		ck_assert_int_eq(columns_of(line->text), line->columns);
		for (int k = 0; k < line->span_count; k++) {
			ck_assert_uint_eq(line->spans[k].begin, byte);
			byte = line->spans[k].end;
		}
		ck_assert_uint_eq(byte, line->length);
	}
}

static const enum top_mode modes[] = {TOP_TABLE, TOP_HELP, TOP_SORT, TOP_FILTER};

START_TEST(any_size_in_any_mode)
{
	look_at(30);
	model.mode = modes[_i];
	model.sort_cursor = 1;
	for (int view = 0; view < TOP_VIEWS; view++) {
		for (int height = 1; height < 60; height += 1 + height / 8) {
			for (int width = 1; width < 200; width += 1 + width / 4) {
				draw(height, width);
				check_canvas(height, width);
			}
		}
		draw(50, 3000);
		check_canvas(50, 3000);
		top_view_set(&model, TOP_WORKERS);
	}
	end();
}
END_TEST

START_TEST(the_selected_row_is_always_there)
{
	char address[64];

	look_at(100);
	for (int height = 4; height < 50; height += 9) {
		top_press(&model, TOP_SPECIAL(KEY_HOME));
		for (int i = 0; i < 100; i++, top_press(&model, 'j')) {
			draw(height, 80);
			snprintf(address, sizeof(address), "tcp://127.0.0.1:%u",
				 8000U + (unsigned)i);
			ck_assert_uint_eq(style_of(address) & TOP_SELECTED, TOP_SELECTED);
		}
	}
	end();
}
END_TEST

/* Columns go where there is no room, in an order; names and workers stay. */
START_TEST(narrow_and_wide)
{
	look_at(2);
	draw(24, 200);
	ck_assert_shown("BUSY/READY/MAX RATE/S RATE ");
	ck_assert_shown("P50   P99 QUEUE REF/S ERR/S BUSY");
	ck_assert_shown("NOTE");
	draw(24, 100);
	ck_assert_not_shown("NOTE");
	draw(24, 80);
	ck_assert_not_shown("P50");
	ck_assert_shown("P99");
	ck_assert_shown("tcp://127.0.0.1:8001");
	draw(24, 60);
	ck_assert_not_shown("ERR/S");
	ck_assert_shown("RATE/S");
	draw(24, 52);
	ck_assert_not_shown("P99");
	ck_assert_shown("QUEUE");
	end();
}
END_TEST

START_TEST(hostile_texts)
{
	struct snapshot s = make_snapshot(2, 2);

	look_at(2);
	strcpy(s.instance.instance, "\033]0;title\a\n");
	strcpy(s.instance.version, "日本\u202e\u0301");
	strcpy(s.pools[0].service, "a\033[2J\nb");
	strcpy(s.pools[1].service, "日本語日本語日本語日本語");
	memset(s.pools[1].address, 0xff, sizeof(s.pools[1].address) - 1);
	memset(s.pools[1].handler, '\r', sizeof(s.pools[1].handler) - 1);
	memset(s.pools[1].values, 0xff, sizeof(s.pools[1].values));
	memset(s.pools[1].connections, 0xff, sizeof(s.pools[1].connections));
	s.pools[1].busy = UINT64_MAX;
	take(&model, s);
	press(&model, "j");
	for (int width = 1; width < 250; width += 1 + width / 20) {
		draw(24, width);
		check_canvas(24, width);
		for (int i = 0; i < 24; i++)
			for (const char *p = canvas.lines[i].text; *p; p++)
				ck_assert_int_ge((unsigned char)*p, ' ');
	}
	ck_assert_shown("a\\x1b[2J\\nb");
	end();
}
END_TEST

START_TEST(not_running)
{
	look_at(2);
	top_model_lost(&model, "/run/x/master: No such file\nor directory");
	draw(24, 80);
	ck_assert_shown("preforkd main  not running, waiting");
	ck_assert_shown("/run/x/master: No such file\\nor directory");
	ck_assert_not_shown("tcp:");
	check_canvas(24, 80);
	press(&model, "w\r/x\rsjh");
	draw(24, 80);
	check_canvas(24, 80);
	end();
}
END_TEST

START_TEST(the_help_says_every_key)
{
	look_at(1);
	press(&model, "h");
	draw(80, 120);
	for (const struct top_key *key = top_keys(); key->shown; key++) {
		ck_assert_shown(key->shown);
		ck_assert_shown(key->help);
	}
	for (int view = 0; view < TOP_VIEWS; view++)
		for (const struct top_column *c = top_columns((enum top_view)view); c->title; c++)
			if (c->title[0])
				ck_assert_shown(c->help);
	/* On a small screen it scrolls to its end, and no further. */
	draw(10, 120);
	ck_assert_shown("this help");
	for (int i = 0; i < 30; i++)
		top_press(&model, TOP_SPECIAL(KEY_NPAGE));
	draw(10, 120);
	ck_assert_shown("not known");
	top_press(&model, TOP_SPECIAL(KEY_UP));
	draw(10, 120);
	ck_assert_not_shown("not known");
	top_press(&model, TOP_SPECIAL(KEY_HOME));
	draw(10, 120);
	ck_assert_shown("this help");
	end();
}
END_TEST

START_TEST(lists_that_are_empty)
{
	init(&model);
	take(&model, make_snapshot(0, 0));
	draw(24, 80);
	ck_assert_shown("no pool");
	take(&model, make_snapshot(1, 1));
	press(&model, "w");
	draw(24, 80);
	ck_assert_shown("no worker");
	press(&model, "/\033[x\r");
	end();
	look_at(2);
	press(&model, "/zzz\r");
	draw(24, 80);
	ck_assert_shown("no pool matches \"zzz\"");
	end();
}
END_TEST

START_TEST(a_file_has_every_row)
{
	look_at(60);
	ck_assert_int_eq(top_canvas_reset(&canvas, top_batch_height(&model), 100), 0);
	top_batch(&model, &canvas);
	ck_assert_int_eq(find("tcp://127.0.0.1:8059"), canvas.height - 1);
	ck_assert_not_shown("q quit");
	end();
}
END_TEST

START_TEST(a_terminal_without_unicode)
{
	look_at(3);
	ck_assert_ptr_nonnull(setlocale(LC_CTYPE, "C"));
	for (int width = 20; width < 160; width += 20) {
		draw(24, width);
		for (int i = 0; i < 24; i++)
			for (const char *p = canvas.lines[i].text; *p; p++)
				ck_assert(*p >= ' ' && *p < 0x7f);
	}
	ck_assert_shown("SERVICE^");
	end();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("top_screen");
	TCase *t = tcase_create("all");

	tcase_set_timeout(t, 20);
	tcase_add_test(t, a_usual_screen);
	tcase_add_test(t, what_is_wrong_is_seen_without_colour);
	tcase_add_loop_test(t, any_size_in_any_mode, 0, (int)(sizeof(modes) / sizeof(modes[0])));
	tcase_add_test(t, the_selected_row_is_always_there);
	tcase_add_test(t, narrow_and_wide);
	tcase_add_test(t, hostile_texts);
	tcase_add_test(t, not_running);
	tcase_add_test(t, the_help_says_every_key);
	tcase_add_test(t, lists_that_are_empty);
	tcase_add_test(t, a_file_has_every_row);
	tcase_add_test(t, a_terminal_without_unicode);
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
