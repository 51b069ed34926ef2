/* SPDX-License-Identifier: ISC */
/* What became of connections: it adds up, by generation and by what workers left for. */
#include <config.h>

#include <netinet/in.h>
#include <signal.h>

#include "board/write.h"
#include "test_board.h"

static const struct sockaddr_in peer = {.sin_family = AF_INET};
static const enum connection_field endings[] = {
#define CONNECTION_FIELD(name, type, unit, help)
#define ENDING_FIELD(name, type, unit, help) CONN_##name,
#include "board/fields.def"
};

static struct slot *slot_at(int index)
{
	return &board.workers->slots[index];
}

static void begin(int slot)
{
	slot_begin(slot_at(slot), (const struct sockaddr *)&peer, sizeof(peer), 100);
}

static void end(int slot, enum connection_field outcome)
{
	slot_end(slot_at(slot), outcome, 107);
}

static void serve(int slot, enum connection_field outcome, int times)
{
	for (int i = 0; i < times; i++) {
		begin(slot);
		end(slot, outcome);
	}
}

static int worker(int pool, uint32_t generation)
{
	static uint32_t pid = 1000;
	int slot = board_slot_take(&board, pool, generation);

	ck_assert_int_ge(slot, 0);
	board_slot_set_pid(&board, slot, ++pid);
	slot_ready(slot_at(slot), 1);
	return slot;
}

static void look(struct ledgers_view *view)
{
	struct board_reader reader;

	open_reader(&reader);
	board_read_ledgers(&reader, view);
	board_close(&reader);
	ck_assert(!view->torn);
}

static void check_ledger(const struct ledger_view *l, uint64_t accepted, uint64_t finished,
			 uint64_t open)
{
	ck_assert_uint_eq(l->connections[CONN_accepted], accepted);
	ck_assert_uint_eq(l->connections[CONN_finished], finished);
	ck_assert_uint_eq(board_open_connections(l->connections), open);
}

static void begin_reload(void)
{
	board_verdict_begin(&board, VERDICT_RELOAD);
	board_replace_begin(&board, VERDICT_RELOAD);
}

/* ---- what workers leave for ---- */

START_TEST(test_replaced)
{
	int pool = board_pool_open(&board, "a", "x", "echo");
	int busy = worker(pool, 1), idle = worker(pool, 1), kept = worker(pool, 1);
	static struct ledgers_view view;
	const struct ledger_view *l = &view.replaced[VERDICT_RELOAD];

	look(&view);
	ck_assert_uint_eq(l->number, 0);
	serve(busy, CONN_finished, 5);
	serve(idle, CONN_timed_out, 3);
	begin(busy);
	begin(kept);
	begin_reload();
	board_slot_replaced(&board, busy, VERDICT_RELOAD);
	board_slot_replaced(&board, idle, VERDICT_RELOAD);
	look(&view);
	ck_assert_uint_eq(l->number, 1);
	ck_assert_uint_gt(l->at_usec, UINT64_C(1600000000000000));
	ck_assert_uint_eq(l->workers, 2);
	/* One was open; what had ended before is none of its business. */
	check_ledger(l, 1, 0, 1);
	end(busy, CONN_finished);
	serve(idle, CONN_refused_access, 2);
	look(&view);
	check_ledger(l, 3, 1, 0);
	begin(idle);
	look(&view);
	check_ledger(l, 4, 1, 1);
	/* Killed with it. */
	ck_assert_int_eq(board_slot_fold(&board, idle), 1);
	ck_assert_int_eq(board_slot_fold(&board, busy), 0);
	look(&view);
	check_ledger(l, 4, 1, 0);
	ck_assert_uint_eq(l->workers, 0);
	ck_assert_uint_eq(l->connections[CONN_aborted_death], 1);
	ck_assert_uint_eq(l->connections[CONN_refused_access], 2);
	ck_assert_uint_eq(l->connections[CONN_timed_out], 0);
	/* The next in the same slot is not one of them. */
	ck_assert_int_eq(worker(pool, 2), busy);
	serve(busy, CONN_finished, 7);
	look(&view);
	check_ledger(l, 4, 1, 0);
}
END_TEST

START_TEST(test_the_next_reload_begins_anew)
{
	int pool = board_pool_open(&board, "a", "x", "echo");
	int first = worker(pool, 1), second = worker(pool, 2);
	static struct ledgers_view view;
	const struct ledger_view *l = &view.replaced[VERDICT_RELOAD];

	begin(first);
	begin(second);
	begin_reload();
	board_slot_replaced(&board, first, VERDICT_RELOAD);
	begin_reload();
	board_slot_replaced(&board, second, VERDICT_RELOAD);
	look(&view);
	ck_assert_uint_eq(l->number, 2);
	check_ledger(l, 1, 0, 1);
	end(first, CONN_finished);
	board_slot_fold(&board, first);
	look(&view);
	check_ledger(l, 1, 0, 1);
	end(second, CONN_finished);
	board_slot_fold(&board, second);
	look(&view);
	check_ledger(l, 1, 1, 0);
}
END_TEST

/* A worker that a stop finds on its way out: what has ended stays where it was, what is open goes
 * on there. */
START_TEST(test_a_stop_takes_over)
{
	int pool = board_pool_open(&board, "a", "x", "echo");
	int slot = worker(pool, 1);
	static struct ledgers_view view;
	const struct ledger_view *reload = &view.replaced[VERDICT_RELOAD];
	const struct ledger_view *stop = &view.replaced[VERDICT_STOP];

	begin(slot);
	begin_reload();
	board_slot_replaced(&board, slot, VERDICT_RELOAD);
	end(slot, CONN_finished);
	begin(slot);
	board_verdict_begin(&board, VERDICT_STOP);
	board_replace_begin(&board, VERDICT_STOP);
	board_slot_replaced(&board, slot, VERDICT_STOP);
	look(&view);
	check_ledger(reload, 1, 1, 0);
	check_ledger(stop, 1, 0, 1);
	end(slot, CONN_aborted_error);
	board_slot_fold(&board, slot);
	look(&view);
	check_ledger(reload, 1, 1, 0);
	check_ledger(stop, 1, 0, 0);
	ck_assert_uint_eq(stop->connections[CONN_aborted_error], 1);
}
END_TEST

START_TEST(test_queued_at_close)
{
	static struct ledgers_view view;

	board_generation_begin(&board, 1);
	begin_reload();
	board_ledger_queue_cut(&board, 1, VERDICT_RELOAD + 1, 2);
	board_ledger_queue_cut(&board, 1, 0, 1);
	board_ledger_queue_cut(&board, 1, VERDICT_KINDS + 1, 1);
	look(&view);
	ck_assert_uint_eq(view.replaced[VERDICT_RELOAD].queued_at_close, 2);
	ck_assert_uint_eq(view.generation_count, 1);
	ck_assert_uint_eq(view.generations[0].queued_at_close, 4);
}
END_TEST

START_TEST(test_ended_by_a_timeout)
{
	int pool = board_pool_open(&board, "a", "x", "echo");
	static struct ledgers_view view;
	static struct pool_view totals;
	struct board_reader reader;
	int slot;

	board_generation_begin(&board, 1);
	slot = worker(pool, 1);
	begin(slot);
	ck_assert_int_eq(board_slot_fold_as(&board, slot, CONN_timed_out), 1);
	open_reader(&reader);
	ck_assert(board_read_pool(&reader, (uint32_t)pool, &totals));
	board_close(&reader);
	ck_assert_uint_eq(totals.connections[CONN_timed_out], 1);
	ck_assert_uint_eq(totals.connections[CONN_aborted_death], 0);
	look(&view);
	ck_assert_uint_eq(view.generations[0].connections[CONN_timed_out], 1);
	/* With nothing open it counts nothing. */
	slot = worker(pool, 1);
	serve(slot, CONN_finished, 1);
	ck_assert_int_eq(board_slot_fold_as(&board, slot, CONN_timed_out), 0);
	look(&view);
	ck_assert_uint_eq(view.generations[0].connections[CONN_timed_out], 1);
}
END_TEST

/* ---- generations ---- */

START_TEST(test_many_generations)
{
	int pool = board_pool_open(&board, "a", "x", "echo"), stays;
	static struct ledgers_view view;
	const struct ledger_view *last;

	board_generation_begin(&board, 1);
	stays = worker(pool, 1);
	for (uint32_t g = 1; g <= 30; g++) {
		int slot = worker(pool, g);

		if (g > 1)
			board_generation_begin(&board, g);
		serve(slot, CONN_finished, (int)g);
		serve(stays, CONN_finished, 1);
		board_slot_fold(&board, slot);
		look(&view);
		last = &view.generations[view.generation_count - 1];
		ck_assert_uint_eq(last->number, g);
		ck_assert_uint_eq(last->connections[CONN_finished], g + (g == 1));
		for (size_t i = 1; i < view.generation_count; i++)
			ck_assert_uint_lt(view.generations[i - 1].number,
					  view.generations[i].number);
	}
	ck_assert_uint_eq(view.generation_count, BOARD_GENERATIONS + 1);
	/* 1 to 22, and the worker of the first. */
	ck_assert_uint_eq(view.generations[0].number, 0);
	ck_assert_uint_eq(view.generations[0].connections[CONN_finished], 22 * 23 / 2 + 30);
	ck_assert_uint_eq(view.generations[0].workers, 1);
}
END_TEST

/* ---- whatever happens ---- */

static void check_sums(void)
{
	static struct ledgers_view view;
	struct board_reader reader;
	struct instance_view instance;
	uint64_t sums[CONNECTION_FIELDS] = {0};

	look(&view);
	open_reader(&reader);
	board_read_instance(&reader, &instance);
	board_close(&reader);
	for (size_t i = 0; i < view.generation_count; i++) {
		const struct ledger_view *g = &view.generations[i];

		ck_assert_uint_le(board_open_connections(g->connections), g->workers);
		for (size_t f = 0; f < CONNECTION_FIELDS; f++)
			sums[f] += g->connections[f];
	}
	ck_assert_mem_eq(sums, instance.connections, sizeof(sums));
	for (size_t i = 0; i < VERDICT_KINDS; i++) {
		const struct ledger_view *l = &view.replaced[i];

		ck_assert_uint_le(board_open_connections(l->connections), l->workers);
		for (size_t f = 0; f < CONNECTION_FIELDS; f++)
			ck_assert_uint_le(l->connections[f], sums[f]);
	}
}

#define WORKERS 12

static void step(unsigned *seed, int pool, int *slots, uint32_t *generation)
{
	unsigned i = (unsigned)rand_r(seed) % WORKERS, what = (unsigned)rand_r(seed) % 20;
	bool busy = board_slot_state(&board, slots[i]) == SLOT_BUSY;

	if (what < 14 && busy)
		end(slots[i], endings[(unsigned)rand_r(seed) % COUNT(endings)]);
	else if (what < 14)
		begin(slots[i]);
	if (what == 14) {
		board_slot_fold_as(&board, slots[i],
				   rand_r(seed) % 2 ? CONN_timed_out : CONN_aborted_death);
		slots[i] = worker(pool, *generation);
	}
	if (what == 15)
		board_generation_begin(&board, ++*generation);
	if (what == 16) {
		begin_reload();
		board_slot_replaced(&board, slots[i], VERDICT_RELOAD);
	}
	if (what == 17)
		board_slot_replaced(&board, slots[i], VERDICT_RELOAD);
	if (what == 18)
		board_slot_replaced(&board, slots[i], VERDICT_STOP);
}

START_TEST(test_it_adds_up)
{
	int pool = board_pool_open(&board, "a", "x", "echo"), slots[WORKERS];
	uint32_t generation = 1;
	unsigned seed = (unsigned)_i;

	board_generation_begin(&board, 1);
	board_verdict_begin(&board, VERDICT_STOP);
	board_replace_begin(&board, VERDICT_STOP);
	for (int i = 0; i < WORKERS; i++)
		slots[i] = worker(pool, 1);
	for (int i = 0; i < 3000; i++) {
		step(&seed, pool, slots, &generation);
		if (i % 10 == 0)
			check_sums();
	}
	for (int i = 0; i < WORKERS; i++)
		board_slot_fold(&board, slots[i]);
	check_sums();
}
END_TEST

_Noreturn static void hammer(int slot)
{
	for (;;)
		serve(slot, CONN_finished, 1);
}

/* With a writer that is killed at any point. */
START_TEST(test_while_a_writer_hammers)
{
	int pool = board_pool_open(&board, "a", "x", "echo"), slot;
	static struct ledgers_view view;
	struct board_reader reader;
	unsigned whole = 0;
	pid_t pid;

	board_generation_begin(&board, 1);
	slot = worker(pool, 1);
	pid = fork();
	if (pid == 0)
		hammer(slot);
	open_reader(&reader);
	while (whole < 5000) {
		if (whole == 1000 || whole == 2000) {
			begin_reload();
			board_slot_replaced(&board, slot, VERDICT_RELOAD);
		}
		board_read_ledgers(&reader, &view);
		if (view.torn)
			continue;
		whole++;
		ck_assert_uint_eq(view.generation_count, 1);
		ck_assert_uint_le(board_open_connections(view.generations[0].connections), 1);
		ck_assert_uint_le(board_open_connections(view.replaced[VERDICT_RELOAD].connections),
				  1);
	}
	board_close(&reader);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_ge(board_slot_fold(&board, slot), 0);
	check_sums();
	look(&view);
	ck_assert_uint_eq(board_open_connections(view.generations[0].connections), 0);
	ck_assert_uint_eq(board_open_connections(view.replaced[VERDICT_RELOAD].connections), 0);
}
END_TEST

static Suite *board_ledger_suite(void)
{
	Suite *suite = suite_create("board_ledger");
	TCase *ledger = tcase_create("ledger");

	tcase_set_timeout(ledger, 60);
	tcase_add_checked_fixture(ledger, create_board, remove_board);
	tcase_add_test(ledger, test_replaced);
	tcase_add_test(ledger, test_the_next_reload_begins_anew);
	tcase_add_test(ledger, test_a_stop_takes_over);
	tcase_add_test(ledger, test_queued_at_close);
	tcase_add_test(ledger, test_ended_by_a_timeout);
	tcase_add_test(ledger, test_many_generations);
	tcase_add_loop_test(ledger, test_it_adds_up, 1, 6);
	tcase_add_test(ledger, test_while_a_writer_hammers);
	suite_add_tcase(suite, ledger);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(board_ledger_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
