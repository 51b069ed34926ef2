/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <curses.h>
#include <math.h>

#include "test_top.h"

/* ---- two looks ---- */

static void count(struct snapshot *s, uint32_t pool, uint64_t accepted, uint64_t usec)
{
	struct pool_view *p = &s->pools[pool];

	p->connections[CONN_accepted] = p->connections[CONN_finished] = accepted;
	p->connections[CONN_busy_usec] = usec;
}

START_TEST(nothing_is_known_of_one_look)
{
	struct top_model m;

	init(&m);
	ck_assert(!m.running);
	take(&m, make_snapshot(2, 0));
	ck_assert(m.running);
	ck_assert(isnan(m.pools[0].rate) && isnan(m.pools[0].refused) && isnan(m.pools[0].errors));
	ck_assert(isnan(m.pools[0].p50) && isnan(m.total.rate));
	ck_assert(isinf(m.pools[0].full_in));
	ck_assert_double_eq(m.pools[0].busy, 0);
	ck_assert_double_eq(m.total.max, 8);
	top_model_free(&m);
}
END_TEST

START_TEST(rates_are_of_the_time_between)
{
	struct top_model m;
	struct snapshot s = make_snapshot(2, 0.5);

	init(&m);
	take(&m, make_snapshot(2, 0));
	count(&s, 1, 100, USEC_PER_SEC);
	s.pools[1].connections[CONN_refused_rate] = 4;
	s.pools[1].connections[CONN_refused_queue] = 1;
	s.pools[1].connections[CONN_timed_out] = 1;
	s.pools[1].connections[CONN_aborted_error] = 2;
	s.pools[1].connections[CONN_aborted_death] = 3;
	take(&m, s);
	ck_assert_double_eq_tol(m.pools[1].rate, 200, 1e-6);
	ck_assert_double_eq_tol(m.pools[1].refused, 10, 1e-6);
	ck_assert_double_eq_tol(m.pools[1].errors, 12, 1e-6);
	/* One second of service in half a second is two of four workers. */
	ck_assert_double_eq_tol(m.pools[1].busy_part, 0.5, 1e-6);
	ck_assert_double_eq(m.pools[0].rate, 0);
	ck_assert_double_eq_tol(m.total.rate, 200, 1e-6);
	ck_assert_double_eq_tol(m.total.busy_part, 0.25, 1e-6);
	top_model_free(&m);
}
END_TEST

/* busy_usec only grows when a connection ends. */
START_TEST(open_connections_are_service_too)
{
	struct top_model m;
	struct snapshot s = make_snapshot(1, 10), t = make_snapshot(1, 11), u;

	init(&m);
	for (uint16_t port = 1; port <= 4; port++) {
		add_worker(&s, 0, port)->since_usec = BEGIN;
		add_worker(&t, 0, port)->since_usec = BEGIN;
	}
	take(&m, s);
	ck_assert(m.pools[0].saturated);
	take(&m, t);
	ck_assert_double_eq_tol(m.pools[0].busy_part, 1, 1e-6);
	/* They end: their 44 seconds were not in the second that follows. */
	u = make_snapshot(1, 12);
	count(&u, 0, 4, 44 * USEC_PER_SEC);
	take(&m, u);
	ck_assert_double_eq_tol(m.pools[0].busy_part, 0, 1e-6);
	ck_assert(!m.pools[0].saturated);
	top_model_free(&m);
}
END_TEST

START_TEST(an_acceptor_is_not_known)
{
	struct top_model m;
	struct snapshot s = make_snapshot(1, 0), t = make_snapshot(1, 1);

	init(&m);
	s.pools[0].values[POOL_acceptor] = t.pools[0].values[POOL_acceptor] = 1;
	take(&m, s);
	take(&m, t);
	ck_assert(isnan(m.pools[0].busy) && isnan(m.pools[0].rate) && isnan(m.pools[0].busy_part));
	ck_assert(!m.pools[0].saturated);
	ck_assert(isnan(m.total.rate) && isnan(m.total.busy));
	ck_assert_double_eq(m.total.ready, 4);
	top_model_free(&m);
}
END_TEST

START_TEST(a_queue_that_is_not_known)
{
	struct top_model m;
	struct snapshot s = make_snapshot(2, 0);

	init(&m);
	s.pools[0].values[POOL_queued] = UINT64_MAX;
	s.pools[1].values[POOL_queued] = 5;
	take(&m, s);
	ck_assert(isnan(m.pools[0].queued));
	ck_assert_double_eq(m.pools[1].queued, 5);
	ck_assert_double_eq(m.total.queued, 5);
	top_model_free(&m);
}
END_TEST

START_TEST(a_new_pool_has_no_rate)
{
	struct top_model m;
	struct snapshot s = make_snapshot(2, 1);

	init(&m);
	take(&m, make_snapshot(1, 0));
	count(&s, 1, 1000, 0);
	take(&m, s);
	ck_assert_double_eq(m.pools[0].rate, 0);
	ck_assert(isnan(m.pools[1].rate));
	top_model_free(&m);
}
END_TEST

/* Counters that begin again are no rate of minus a thousand, and none of 2^64. */
START_TEST(another_run)
{
	struct top_model m;
	struct snapshot s = make_snapshot(1, 0), t = make_snapshot(1, 2);

	init(&m);
	count(&s, 0, 1000, 0);
	take(&m, s);
	top_model_lost(&m, "gone");
	ck_assert(!m.running);
	ck_assert_str_eq(m.waiting, "gone");
	ck_assert(isnan(m.total.rate));
	ck_assert_uint_eq(m.row_count, 0);
	t.instance.pid = 78;
	take(&m, t);
	ck_assert(m.running);
	ck_assert(isnan(m.pools[0].rate));
	/* Also when nobody saw that it was gone. */
	s = make_snapshot(1, 3);
	s.instance.pid = 79;
	count(&s, 0, 5, 0);
	take(&m, s);
	ck_assert(isnan(m.pools[0].rate));
	top_model_free(&m);
}
END_TEST

static void check_values(const struct top_model *m, const float *ring, const float *expected,
			 int columns)
{
	float values[16];

	top_history_last(m, ring, values, columns);
	for (int i = 0; i < columns; i++)
		if (isnan(expected[i]))
			ck_assert_float_nan(values[i]);
		else
			ck_assert_float_eq_tol(values[i], expected[i], 1e-3F);
}

START_TEST(curves_go_on_after_a_restart)
{
	const float expected[] = {NAN, NAN, 7, NAN, NAN, 9};
	struct top_model m;
	struct snapshot s;

	init(&m);
	take(&m, make_snapshot(2, 0));
	s = make_snapshot(2, 1);
	count(&s, 1, 7, 0);
	take(&m, s);
	top_model_lost(&m, "gone");
	for (int i = 0; i < 2; i++) {
		s = make_snapshot(1, 3 + i);
		strcpy(s.pools[0].service, "b");
		strcpy(s.pools[0].address, "tcp://127.0.0.1:8001");
		s.instance.pid = 78;
		count(&s, 0, 9U * (unsigned)i, 0);
		take(&m, s);
	}
	check_values(&m, m.pools[0].history->rate, expected, 6);
	check_values(&m, m.instance.rate, expected, 6);
	top_model_free(&m);
}
END_TEST

/* A board that is written at random has new names at every look. */
START_TEST(curves_do_not_grow_without_end)
{
	struct top_model m;

	init(&m);
	for (unsigned i = 0; i < 500; i++) {
		struct snapshot s = make_snapshot(3, i);

		snprintf(s.pools[1].service, sizeof(s.pools[1].service), "new%u", i);
		take(&m, s);
		ck_assert_ptr_nonnull(m.pools[1].history);
	}
	ck_assert_uint_lt(m.history_count, 200);
	top_model_free(&m);
}
END_TEST

START_TEST(a_ring_is_full_at_some_time)
{
	struct top_model m;
	float values[TOP_HISTORY + 3];

	init(&m);
	for (unsigned i = 0; i < TOP_HISTORY + 10; i++) {
		struct snapshot s = make_snapshot(1, i);

		count(&s, 0, i * (i + 1) / 2, 0);
		take(&m, s);
	}
	top_history_last(&m, m.pools[0].history->rate, values, TOP_HISTORY + 3);
	ck_assert_float_nan(values[2]);
	ck_assert_float_eq(values[3], 10);
	ck_assert_float_eq(values[TOP_HISTORY + 2], TOP_HISTORY + 9);
	top_model_free(&m);
}
END_TEST

/* ---- percentiles are of the last seconds ---- */

START_TEST(percentiles_have_a_window)
{
	struct top_model m;

	init(&m);
	for (int i = 0; i <= 60; i++) {
		struct snapshot s = make_snapshot(1, i);

		/* A slow minute's begin, of which nothing is left at its end. */
		histogram_add(&s.pools[0].times, 900000, i < 30 ? (uint64_t)i : 30);
		histogram_add(&s.pools[0].times, 1000, i < 30 ? 0 : (uint64_t)(i - 30));
		take(&m, s);
		if (i == 5)
			ck_assert_double_eq_tol(m.pools[0].p99, 900000, 60000);
		/* Two hundred milliseconds later there is none, and the number is still there. */
		if (i == 20) {
			s = make_snapshot(1, 20.2);
			histogram_add(&s.pools[0].times, 900000, 20);
			take(&m, s);
			ck_assert_double_eq_tol(m.pools[0].p50, 900000, 60000);
		}
	}
	ck_assert_double_eq_tol(m.pools[0].p99, 1000, 65);
	ck_assert_double_eq_tol(m.total.p99, 1000, 65);
	ck_assert(isnan(m.pools[0].wait_p99));
	top_model_free(&m);
}
END_TEST

/* ---- rows ---- */

/* Three pools: rates 10 0 30; c has an acceptor's unknown numbers when `unknown`. */
static void make_three(struct top_model *m, bool acceptor)
{
	struct snapshot s = make_snapshot(3, 1);

	init(m);
	take(m, make_snapshot(3, 0));
	count(&s, 0, 10, 0);
	count(&s, 2, 30, 0);
	s.pools[2].values[POOL_acceptor] = acceptor;
	add_worker(&s, 0, 0);
	add_worker(&s, 1, 4711);
	add_worker(&s, 1, 0);
	add_worker(&s, 0, 4712);
	take(m, s);
}

START_TEST(sorting)
{
	struct top_model m;

	make_three(&m, false);
	ck_assert_str_eq(shown(&m), "a b c");
	press(&m, "r");
	ck_assert_str_eq(shown(&m), "c b a");
	press(&m, "rR");
	ck_assert_str_eq(shown(&m), "c a b");
	press(&m, "r");
	ck_assert_str_eq(shown(&m), "b a c");
	press(&m, "rS>");
	ck_assert_int_eq(m.orders[TOP_POOLS].column, 2);
	press(&m, "<<<<");
	ck_assert_int_eq(m.orders[TOP_POOLS].column, 1);
	/* The curve in between cannot be sorted by. */
	press(&m, "R>");
	ck_assert_str_eq(top_columns(TOP_POOLS)[m.orders[TOP_POOLS].column].title, "P50");
	press(&m, ">>>>>>>>>>>>");
	ck_assert_str_eq(top_columns(TOP_POOLS)[m.orders[TOP_POOLS].column].title, "ERR/S");
	top_model_free(&m);
}
END_TEST

START_TEST(unknown_is_last_in_both_directions)
{
	struct top_model m;

	make_three(&m, true);
	press(&m, "R");
	ck_assert_str_eq(shown(&m), "a b c");
	press(&m, "r");
	ck_assert_str_eq(shown(&m), "b a c");
	top_model_free(&m);
}
END_TEST

START_TEST(every_column_sorts_by_its_key)
{
	struct top_model m;

	make_three(&m, false);
	for (int view = 0; view < TOP_VIEWS; view++) {
		for (const struct top_column *c = top_columns((enum top_view)view); c->title; c++) {
			if (!c->key)
				continue;
			top_press(&m, c->key);
			ck_assert_ptr_eq(&top_columns((enum top_view)view)[m.orders[view].column],
					 c);
			ck_assert_uint_gt(m.row_count, 1);
			/* No letter is a column's and something else's. */
			for (const struct top_key *k = top_keys(); k->shown; k++)
				for (int i = 0; i < TOP_KEY_CODES; i++)
					ck_assert_int_ne(k->codes[i], c->key);
			ck_assert_int_eq(top_column_of_key((enum top_view)view, c->key),
					 m.orders[view].column);
		}
		press(&m, "w");
	}
	top_model_free(&m);
}
END_TEST

START_TEST(no_key_twice)
{
	for (const struct top_key *a = top_keys(); a->shown; a++)
		for (const struct top_key *b = a + 1; b->shown; b++)
			for (int i = 0; i < TOP_KEY_CODES; i++)
				for (int k = 0; k < TOP_KEY_CODES; k++)
					ck_assert(!a->codes[i] || a->codes[i] != b->codes[k]);
}
END_TEST

START_TEST(the_selection_stays_with_its_pool)
{
	struct top_model m;
	struct snapshot s;

	make_three(&m, false);
	ck_assert_str_eq(selected(&m), "a");
	press(&m, "jj");
	ck_assert_str_eq(selected(&m), "c");
	press(&m, "j");
	ck_assert_str_eq(selected(&m), "c");
	press(&m, "R");
	ck_assert_str_eq(selected(&m), "c");
	ck_assert_uint_eq(m.places[TOP_POOLS].cursor, 0);
	press(&m, "jk");
	ck_assert_str_eq(selected(&m), "c");
	/* It is dropped: the one in its place is selected. */
	s = make_snapshot(2, 2);
	take(&m, s);
	ck_assert_uint_eq(m.places[TOP_POOLS].cursor, 0);
	ck_assert_str_ne(selected(&m), "");
	/* None is left, and one comes again. */
	take(&m, make_snapshot(0, 3));
	ck_assert_str_eq(selected(&m), "");
	press(&m, "jkw");
	ck_assert_int_eq(m.view, TOP_POOLS);
	take(&m, make_snapshot(1, 4));
	ck_assert_str_eq(selected(&m), "a");
	top_model_free(&m);
}
END_TEST

START_TEST(workers_of_the_selected_pool)
{
	struct top_model m;
	struct snapshot s;

	make_three(&m, false);
	press(&m, "j\r");
	ck_assert_int_eq(m.view, TOP_WORKERS);
	ck_assert_str_eq(shown(&m), "101 102");
	press(&m, "r");
	ck_assert_str_eq(shown(&m), "102 101");
	press(&m, "rC");
	ck_assert_str_eq(shown(&m), "102 101");
	press(&m, "P");
	top_press(&m, TOP_SPECIAL(KEY_END));
	ck_assert_uint_eq(m.pid, 102);
	/* The pool goes, its workers with it; it comes again. */
	take(&m, make_snapshot(1, 2));
	ck_assert_uint_eq(m.row_count, 0);
	s = make_snapshot(3, 3);
	add_worker(&s, 1, 0);
	take(&m, s);
	ck_assert_uint_eq(m.row_count, 1);
	press(&m, "\033");
	ck_assert_int_eq(m.view, TOP_POOLS);
	ck_assert_str_eq(selected(&m), "b");
	press(&m, "ww");
	ck_assert_int_eq(m.view, TOP_POOLS);
	top_model_free(&m);
}
END_TEST

START_TEST(filtering)
{
	struct top_model m;

	make_three(&m, false);
	press(&m, "/:8001");
	ck_assert_int_eq(m.mode, TOP_FILTER);
	ck_assert_str_eq(shown(&m), "b");
	press(&m, "\177\1772\r");
	ck_assert_int_eq(m.mode, TOP_TABLE);
	ck_assert_str_eq(m.filters[TOP_POOLS], ":802");
	ck_assert_str_eq(shown(&m), "");
	press(&m, "/\025C");
	ck_assert_str_eq(shown(&m), "a b c"); /* tcp */
	press(&m, "\010B");
	ck_assert_str_eq(shown(&m), "b");
	/* The client of a worker. */
	press(&m, "\025:4712\n");
	ck_assert_str_eq(shown(&m), "a");
	press(&m, "\r");
	ck_assert_str_eq(shown(&m), "100 103");
	press(&m, "/47\r");
	ck_assert_str_eq(shown(&m), "103");
	press(&m, "/\025idle\r");
	ck_assert_str_eq(shown(&m), "100");
	press(&m, "\033");
	ck_assert_str_eq(shown(&m), "100 103");
	/* Back to the pools, which kept theirs. */
	press(&m, "\033");
	ck_assert_str_eq(shown(&m), "a");
	press(&m, "\033");
	ck_assert_str_eq(shown(&m), "a b c");
	press(&m, "/x\033");
	ck_assert_str_eq(m.filters[TOP_POOLS], "");
	ck_assert_int_eq(m.mode, TOP_TABLE);
	top_model_free(&m);
}
END_TEST

START_TEST(a_filter_has_an_end)
{
	struct top_model m;

	make_three(&m, false);
	press(&m, "/");
	for (int i = 0; i < 500; i++)
		top_press(&m, L'ü');
	ck_assert_uint_lt(strlen(m.filters[TOP_POOLS]), TOP_FILTER_MAX);
	press(&m, "\177x");
	ck_assert_uint_eq(strlen(m.filters[TOP_POOLS]) % 2, 1);
	for (int i = 0; i < 500; i++)
		press(&m, "\177");
	ck_assert_str_eq(m.filters[TOP_POOLS], "");
	/* Keys without a character, control characters. */
	for (int key = -KEY_MAX; key < ' '; key++)
		if (key != '\r' && key != '\n' && key != 27 && key != TOP_SPECIAL(KEY_ENTER))
			top_press(&m, key);
	ck_assert_str_eq(m.filters[TOP_POOLS], "");
	ck_assert_int_eq(m.mode, TOP_FILTER);
	top_model_free(&m);
}
END_TEST

START_TEST(scrolling)
{
	struct top_model m;

	init(&m);
	take(&m, make_snapshot(100, 0));
	top_rows_fit(&m, 10);
	top_press(&m, TOP_SPECIAL(KEY_NPAGE));
	top_rows_fit(&m, 10);
	ck_assert_uint_eq(m.places[0].cursor, 9);
	ck_assert_uint_eq(m.places[0].first, 0);
	press(&m, "j");
	top_rows_fit(&m, 10);
	ck_assert_uint_eq(m.places[0].first, 1);
	top_press(&m, TOP_SPECIAL(KEY_END));
	top_rows_fit(&m, 10);
	ck_assert_uint_eq(m.places[0].cursor, 99);
	ck_assert_uint_eq(m.places[0].first, 90);
	/* More room. */
	top_rows_fit(&m, 50);
	ck_assert_uint_eq(m.places[0].first, 50);
	/* None at all, and some again. */
	top_rows_fit(&m, 0);
	top_rows_fit(&m, 1);
	ck_assert_uint_eq(m.places[0].first, 99);
	press(&m, "g");
	top_rows_fit(&m, 200);
	ck_assert_uint_eq(m.places[0].first, 0);
	/* Fewer than there were. */
	top_press(&m, TOP_SPECIAL(KEY_END));
	take(&m, make_snapshot(5, 1));
	top_rows_fit(&m, 3);
	ck_assert_uint_lt(m.places[0].cursor, 5);
	ck_assert_uint_le(m.places[0].first, 2);
	top_model_free(&m);
}
END_TEST

/* ---- other keys ---- */

START_TEST(the_interval)
{
	struct top_model m;

	make_three(&m, false);
	press(&m, "+");
	ck_assert_uint_eq(m.interval_usec, 2000000);
	press(&m, "---------");
	ck_assert_uint_eq(m.interval_usec, 100000);
	press(&m, "++++++++++++");
	ck_assert_uint_eq(m.interval_usec, 60000000);
	m.interval_usec = 700000;
	press(&m, "-");
	ck_assert_uint_eq(m.interval_usec, 500000);
	m.interval_usec = 700000;
	press(&m, "+");
	ck_assert_uint_eq(m.interval_usec, 1000000);
	top_model_free(&m);
}
END_TEST

START_TEST(modes_are_left_again)
{
	struct top_model m;

	make_three(&m, false);
	press(&m, "h");
	ck_assert_int_eq(m.mode, TOP_HELP);
	press(&m, "R");
	ck_assert_int_eq(m.mode, TOP_HELP);
	press(&m, "h");
	ck_assert_int_eq(m.mode, TOP_TABLE);
	press(&m, "?q");
	ck_assert_int_eq(m.mode, TOP_TABLE);
	ck_assert(!m.quit);
	press(&m, "sj\r");
	ck_assert_int_eq(m.orders[TOP_POOLS].column, 2);
	press(&m, "sjj\033");
	ck_assert_int_eq(m.orders[TOP_POOLS].column, 2);
	press(&m, "sR");
	ck_assert_str_eq(shown(&m), "c a b");
	ck_assert_int_eq(m.mode, TOP_TABLE);
	press(&m, "p");
	ck_assert(m.paused);
	press(&m, " ");
	ck_assert(!m.paused);
	press(&m, "q");
	ck_assert(m.quit);
	top_model_free(&m);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("top_model");
	TCase *looks = tcase_create("looks"), *rows = tcase_create("rows");

	tcase_add_test(looks, nothing_is_known_of_one_look);
	tcase_add_test(looks, rates_are_of_the_time_between);
	tcase_add_test(looks, open_connections_are_service_too);
	tcase_add_test(looks, an_acceptor_is_not_known);
	tcase_add_test(looks, a_queue_that_is_not_known);
	tcase_add_test(looks, a_new_pool_has_no_rate);
	tcase_add_test(looks, another_run);
	tcase_add_test(looks, curves_go_on_after_a_restart);
	tcase_add_test(looks, curves_do_not_grow_without_end);
	tcase_add_test(looks, a_ring_is_full_at_some_time);
	tcase_add_test(looks, percentiles_have_a_window);
	suite_add_tcase(s, looks);
	tcase_add_test(rows, sorting);
	tcase_add_test(rows, unknown_is_last_in_both_directions);
	tcase_add_test(rows, every_column_sorts_by_its_key);
	tcase_add_test(rows, no_key_twice);
	tcase_add_test(rows, the_selection_stays_with_its_pool);
	tcase_add_test(rows, workers_of_the_selected_pool);
	tcase_add_test(rows, filtering);
	tcase_add_test(rows, a_filter_has_an_end);
	tcase_add_test(rows, scrolling);
	tcase_add_test(rows, the_interval);
	tcase_add_test(rows, modes_are_left_again);
	suite_add_tcase(s, rows);
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
