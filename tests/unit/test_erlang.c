/* SPDX-License-Identifier: ISC */
/*
 * Erlang's formulas against what is published, against another way to compute them, and against
 * queues that are simulated client by client.
 */
#include <config.h>

#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "view/erlang.h"

/* The load at which so many lines lose such a share of calls: from the tables of Erlang's B that
 * the telephone companies use (ITU-D Study Group 2, Teletraffic Engineering Handbook). */
static const struct {
	uint64_t lines;
	double load, lost;
} table_b[] = {
	{1, 0.0101, 0.01}, {5, 1.361, 0.01},   {10, 4.461, 0.01},
	{20, 12.03, 0.01}, {50, 37.90, 0.01},  {100, 84.06, 0.01},
	{50, 40.26, 0.02}, {100, 87.97, 0.02}, {10, 6.216, 0.05},
};

START_TEST(b_is_as_in_the_tables)
{
	double load = table_b[_i].load, lost = table_b[_i].lost;

	/* The tables have four digits of the load. */
	ck_assert_double_le(erlang_b(table_b[_i].lines, load * 0.999), lost);
	ck_assert_double_ge(erlang_b(table_b[_i].lines, load * 1.001), lost);
}
END_TEST

/*
 * 11 to 15 workers: the example of ten erlangs that explanations of call centres use (Call Centre
 * Helper, "Erlang C Formula - Made Simple With an Easy Worked Example": 17.4 % with 14). The others
 * are closed forms: the load itself with one worker, 2r²/(1+r) with two (Hillier and Lieberman,
 * Introduction to Operations Research, the emergency room), 4/9 and 128/231 with three and five.
 */
static const struct {
	uint64_t workers;
	double load, chance;
} table_c[] = {
	{1, 0.25, 0.25},    {1, 0.9, 0.9},       {2, 1, 1.0 / 3},    {2, 2.0 / 3, 1.0 / 6},
	{3, 2, 4.0 / 9},    {5, 4, 128.0 / 231}, {11, 10, 0.682118}, {12, 10, 0.449388},
	{13, 10, 0.285270}, {14, 10, 0.174132},  {15, 10, 0.102042},
};

START_TEST(c_is_as_published)
{
	ck_assert_double_eq_tol(erlang_c(table_c[_i].workers, table_c[_i].load), table_c[_i].chance,
				1e-6);
}
END_TEST

/* The emergency room: two arrive an hour, a doctor treats three. In hours and treatments. */
START_TEST(wait_is_as_published)
{
	ck_assert_double_eq_tol(erlang_wait(1, 2.0 / 3, 1) / 3, 2.0 / 3, 1e-12);
	ck_assert_double_eq_tol(erlang_wait(2, 2.0 / 3, 1) / 3, 1.0 / 24, 1e-12);
	/* Pollaczek and Khinchine: one that always takes the same time waits half as long. */
	ck_assert_double_eq_tol(erlang_wait(1, 0.5, 0), 0.5, 1e-12);
	ck_assert(isinf(erlang_wait(4, 4, 1)));
	ck_assert(isinf(erlang_wait(0, 1, 1)));
}
END_TEST

/* By the sum of the definition, from its largest term on: slow, but another way. */
static double by_definition(uint64_t workers, double load)
{
	double top = (double)workers * log(load) - lgamma((double)workers + 1) -
		     log1p(-load / (double)workers);
	double sum = 1;

	for (uint64_t k = 0; k < workers; k++)
		sum += exp((double)k * log(load) - lgamma((double)k + 1) - top);
	return 1 / sum;
}

START_TEST(c_is_stable)
{
	static const uint64_t workers[] = {2, 10, 100, 1000, 5000, 10000};
	static const double uses[] = {0.1, 0.5, 0.9, 0.99, 0.999, 0.9999};

	for (size_t i = 0; i < 6; i++)
		for (size_t u = 0; u < 6; u++) {
			double load = uses[u] * (double)workers[i];
			double c = erlang_c(workers[i], load), d = by_definition(workers[i], load);

			ck_assert(isfinite(c) && c >= 0 && c <= 1);
			ck_assert_msg(fabs(c - d) <= 1e-6 * d + 1e-300, "%zu at %g: %g, %g",
				      (size_t)workers[i], uses[u], c, d);
		}
}
END_TEST

START_TEST(c_at_the_edges)
{
	ck_assert_double_eq(erlang_c(0, 1), 1);
	ck_assert_double_eq(erlang_c(5, 5), 1);
	ck_assert_double_eq(erlang_c(5, 500), 1);
	ck_assert_double_eq(erlang_c(5, 0), 0);
	ck_assert_double_eq(erlang_b(0, 3), 1);
}
END_TEST

START_TEST(workers_are_the_least)
{
	static const double loads[] = {0.001, 0.3, 1, 10, 99.5, 1000, 9800};
	static const double chances[] = {0.5, 0.1, 0.01, 0.0001};

	for (size_t l = 0; l < 7; l++)
		for (size_t c = 0; c < 4; c++) {
			uint64_t n = erlang_workers(loads[l], chances[c]);

			ck_assert_uint_ge(n, 1);
			ck_assert_double_le(erlang_c(n, loads[l]), chances[c]);
			ck_assert(n == 1 || erlang_c(n - 1, loads[l]) > chances[c]);
		}
	ck_assert_uint_eq(erlang_workers(10, 0.2), 14);
	ck_assert_uint_eq(erlang_workers(0, 0.01), 1);
	ck_assert_uint_eq(erlang_workers(2.0 * ERLANG_WORKERS_MAX, 0.01), 0);
}
END_TEST

/* ---- a queue, client by client ---- */

#define WORKERS_MOST 64
#define BATCHES      20
#define BATCH        100000
/* Student's t of 19 degrees of freedom, 99.9 %. */
#define STUDENT 3.883

struct simulation {
	uint64_t random;
	uint64_t workers;
	double load;
	double (*time)(struct simulation *); /* of 1 on average */
	double now, free_at[WORKERS_MOST];
};
struct estimate {
	double mean, half; /* of the confidence interval */
};

/* splitmix64 */
static double uniform(struct simulation *s)
{
	uint64_t z = s->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return ((double)((z ^ (z >> 31)) >> 11) + 0.5) / 9007199254740992.0;
}

static double exponential(struct simulation *s)
{
	return -log(uniform(s));
}

static double constant(struct simulation *s)
{
	(void)s;
	return 1;
}

/* Its squared coefficient of variation is 3. */
static double uneven(struct simulation *s)
{
	double p = 0.5 * (1 + sqrt(0.5));

	return uniform(s) < p ? exponential(s) / (2 * p) : exponential(s) / (2 * (1 - p));
}

/* How long the next client waits. */
static double next_client(struct simulation *s)
{
	uint64_t first = 0;
	double wait;

	s->now += exponential(s) / s->load;
	for (uint64_t i = 1; i < s->workers; i++)
		if (s->free_at[i] < s->free_at[first])
			first = i;
	wait = fmax(0, s->free_at[first] - s->now);
	s->free_at[first] = s->now + wait + s->time(s);
	return wait;
}

static struct estimate estimate(const double batches[BATCHES])
{
	double sum = 0, squares = 0;

	for (int i = 0; i < BATCHES; i++)
		sum += batches[i];
	for (int i = 0; i < BATCHES; i++)
		squares += (batches[i] - sum / BATCHES) * (batches[i] - sum / BATCHES);
	return (struct estimate){sum / BATCHES, STUDENT * sqrt(squares / (BATCHES - 1) / BATCHES)};
}

static void simulate(struct simulation *s, struct estimate *chance, struct estimate *wait)
{
	double chances[BATCHES], waits[BATCHES];

	for (int i = 0; i < BATCH; i++)
		next_client(s);
	for (int b = 0; b < BATCHES; b++) {
		chances[b] = waits[b] = 0;
		for (int i = 0; i < BATCH; i++) {
			double w = next_client(s);

			chances[b] += (w > 0) / (double)BATCH;
			waits[b] += w / BATCH;
		}
	}
	*chance = estimate(chances);
	*wait = estimate(waits);
}

static const struct {
	uint64_t workers;
	double load;
} simulated[] = {{1, 0.7}, {5, 4}, {14, 10}, {20, 17}, {50, 45}};

START_TEST(simulation_agrees)
{
	struct simulation s = {.random = 20 + (uint64_t)_i,
			       .workers = simulated[_i].workers,
			       .load = simulated[_i].load,
			       .time = exponential};
	struct estimate chance, wait;

	simulate(&s, &chance, &wait);
	/* So narrow that a wrong formula is outside. */
	ck_assert_double_lt(chance.half, 0.1 * chance.mean);
	ck_assert_double_lt(wait.half, 0.25 * wait.mean);
	ck_assert_double_eq_tol(erlang_c(s.workers, s.load), chance.mean, chance.half);
	ck_assert_double_eq_tol(erlang_wait(s.workers, s.load, 1), wait.mean, wait.half);
}
END_TEST

/* With other times the wait is an approximation, known to be good to some per cent. */
START_TEST(other_times_are_near)
{
	static double (*const times[])(struct simulation *) = {constant, uneven};
	static const double scv[] = {0, 3};
	struct simulation s = {.random = 7, .workers = 8, .load = 7, .time = times[_i]};
	struct estimate chance, wait;
	double expected = erlang_wait(8, 7, scv[_i]);

	simulate(&s, &chance, &wait);
	ck_assert_double_eq_tol(expected, wait.mean, 0.15 * wait.mean + wait.half);
	/* And better than without. */
	ck_assert_double_gt(fabs(erlang_wait(8, 7, 1) - wait.mean), fabs(expected - wait.mean));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("erlang");
	TCase *tests = tcase_create("formulas"), *slow = tcase_create("simulation");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tests, b_is_as_in_the_tables, 0, sizeof(table_b) / sizeof(table_b[0]));
	tcase_add_loop_test(tests, c_is_as_published, 0, sizeof(table_c) / sizeof(table_c[0]));
	tcase_add_test(tests, wait_is_as_published);
	tcase_add_test(tests, c_is_stable);
	tcase_add_test(tests, c_at_the_edges);
	tcase_add_test(tests, workers_are_the_least);
	suite_add_tcase(suite, tests);
	tcase_add_loop_test(slow, simulation_agrees, 0, sizeof(simulated) / sizeof(simulated[0]));
	tcase_add_loop_test(slow, other_times_are_near, 0, 2);
	tcase_set_timeout(slow, 60);
	suite_add_tcase(suite, slow);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
