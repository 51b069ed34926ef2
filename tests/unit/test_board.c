/* SPDX-License-Identifier: ISC */
/* What is on the board: pools, slots, verdicts. */
#include <config.h>

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/un.h>

#include "board/seqlock.h"
#include "board/write.h"
#include "test_board.h"

/* ---- the instance ---- */

START_TEST(test_instance)
{
	struct board_reader reader;
	struct instance_view view;

	board_set_state(&board, MASTER_RUNNING);
	board_set(&board, INSTANCE_generation, 7);
	board_add(&board, INSTANCE_reloads, 2);
	board_add(&board, INSTANCE_reloads, 3);
	open_reader(&reader);
	board_read_instance(&reader, &view);
	ck_assert_uint_eq(view.pid, (unsigned)getpid());
	ck_assert_str_eq(view.instance, "test");
	ck_assert_str_eq(view.version, PACKAGE_VERSION);
	ck_assert_uint_eq(view.values[INSTANCE_generation], 7);
	ck_assert_uint_eq(view.values[INSTANCE_reloads], 5);
	ck_assert_uint_gt(view.started_usec, UINT64_C(1600000000000000));
	board_close(&reader);
}
END_TEST

START_TEST(test_udp_ports)
{
	static const unsigned ports[] = {0, 1, 63, 64, 5353, 65535};

	for (int i = 0; i < COUNT(ports); i++)
		board_udp_port(&board, ports[i], 1);
	for (unsigned p = 0; p < 65536; p++) {
		bool ours = board.master->udp_ports[p / 64] >> (p % 64) & 1, expected = false;

		for (int i = 0; i < COUNT(ports); i++)
			expected = expected || p == ports[i];
		ck_assert_msg(ours == expected, "port %u", p);
	}
	for (int i = 0; i < COUNT(ports); i++)
		board_udp_port(&board, ports[i], 0);
	for (unsigned i = 0; i < 1024; i++)
		ck_assert_uint_eq(board.master->udp_ports[i], 0);
}
END_TEST

/* ---- pools ---- */

START_TEST(test_pools)
{
	int a = board_pool_open(&board, "a", "tcp://1", "echo");
	int b = board_pool_open(&board, "a", "tcp://2", "echo");
	struct board_reader reader;
	struct pool_view view;

	ck_assert_int_ge(a, 0);
	ck_assert_int_ge(b, 0);
	ck_assert_int_ne(a, b);
	board_pool_set(&board, a, POOL_workers_wanted, 4);
	board_pool_add(&board, a, POOL_workers_started, 2);
	/* The same service and address: the same record, with what was counted. */
	ck_assert_int_eq(board_pool_open(&board, "a", "tcp://1", "discard"), a);
	open_reader(&reader);
	ck_assert_uint_eq(board_pool_count(&reader), 2);
	ck_assert(board_read_pool(&reader, (uint32_t)a, &view));
	ck_assert_str_eq(view.service, "a");
	ck_assert_str_eq(view.address, "tcp://1");
	/* Who serves there changes when it does, not when somebody is about to. */
	ck_assert_str_eq(view.handler, "echo");
	board_pool_set_handler(&board, a, "discard");
	ck_assert(board_read_pool(&reader, (uint32_t)a, &view));
	ck_assert_str_eq(view.handler, "discard");
	ck_assert_uint_eq(view.values[POOL_workers_wanted], 4);
	ck_assert_uint_eq(view.values[POOL_workers_started], 2);
	board_pool_close(&board, a);
	ck_assert(!board_read_pool(&reader, (uint32_t)a, &view));
	ck_assert(board_read_pool(&reader, (uint32_t)b, &view));
	/* Its place is the next one's, with nothing left in it. */
	ck_assert_int_eq(board_pool_open(&board, "c", "tcp://3", "time"), a);
	ck_assert(board_read_pool(&reader, (uint32_t)a, &view));
	ck_assert_uint_eq(view.values[POOL_workers_started], 0);
	ck_assert(!board_read_pool(&reader, BOARD_POOLS, &view));
	ck_assert(!board_read_pool(&reader, UINT32_MAX, &view));
	board_close(&reader);
}
END_TEST

START_TEST(test_as_many_pools_as_there_are)
{
	char name[16];

	for (int i = 0; i < BOARD_POOLS; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		ck_assert_int_ge(board_pool_open(&board, name, "tcp://1", "echo"), 0);
	}
	ck_assert_int_eq(board_pool_open(&board, "one more", "tcp://1", "echo"), -1);
	ck_assert_int_ge(board_pool_open(&board, "s500", "tcp://1", "echo"), 0);
	board_pool_close(&board, 17);
	ck_assert_int_eq(board_pool_open(&board, "one more", "tcp://1", "echo"), 17);
}
END_TEST

/* ---- slots ---- */

START_TEST(test_slots)
{
	int pool = board_pool_open(&board, "a", "tcp://1", "echo");
	int one = board_slot_take(&board, pool, 3), two = board_slot_take(&board, pool, 3);
	struct board_reader reader;
	struct worker_view view;

	ck_assert_int_ne(one, two);
	ck_assert_int_eq(board_slot_state(&board, one), SLOT_STARTING);
	open_reader(&reader);
	/* Taken and not forked yet: nobody. */
	ck_assert(!board_read_worker(&reader, (uint32_t)one, &view));
	board_slot_set_pid(&board, one, 4711);
	ck_assert(board_read_worker(&reader, (uint32_t)one, &view));
	ck_assert_uint_eq(view.pid, 4711);
	ck_assert_uint_eq(view.pool, (unsigned)pool);
	ck_assert_uint_eq(view.generation, 3);
	ck_assert(!view.leaving);
	slot_ready(&board.workers->slots[one], 55);
	board_slot_tell(&board, one, WORD_LEAVE);
	ck_assert(board_read_worker(&reader, (uint32_t)one, &view));
	ck_assert(view.leaving);
	ck_assert_int_eq(view.state, SLOT_IDLE);
	ck_assert_uint_eq(view.since_usec, 55);
	ck_assert_int_eq(board_slot_fold(&board, one), 0);
	ck_assert(!board_read_worker(&reader, (uint32_t)one, &view));
	/* Cleared for the next one, whatever the last one left. */
	memset(&board.workers->slots[one], 0xff, sizeof(struct slot));
	ck_assert_int_eq(board_slot_take(&board, pool, 4), one);
	ck_assert_int_eq(board_slot_state(&board, one), SLOT_STARTING);
	ck_assert_uint_eq(board_slot_accepted(&board, one), 0);
	ck_assert_int_eq(board.master->owners[one].word, WORD_SERVE);
	ck_assert(!board_read_worker(&reader, BOARD_SLOTS, &view));
	ck_assert(!board_read_worker(&reader, UINT32_MAX, &view));
	board_close(&reader);
}
END_TEST

START_TEST(test_as_many_slots_as_there_are)
{
	int pool = board_pool_open(&board, "a", "tcp://1", "echo");

	for (int i = 0; i < BOARD_SLOTS; i++)
		ck_assert_int_eq(board_slot_take(&board, pool, 1), i);
	ck_assert_int_eq(board_slot_take(&board, pool, 1), -1);
	board_slot_fold(&board, 4000);
	ck_assert_int_eq(board_slot_take(&board, pool, 1), 4000);
}
END_TEST

/* ---- the dead ---- */

static const struct {
	unsigned accepted, finished, timed_out, aborted, guard;
	int open; /* what fold says; -1: dropped */
} dead[] = {
	{0, 0, 0, 0, 0, 0},    {5, 5, 0, 0, 0, 0},           {5, 4, 0, 0, 0, 1},
	{1, 0, 0, 0, 0, 1},    {9, 5, 2, 1, 0, 1},           {9, 5, 2, 1, 1, 0},
	{9, 5, 2, 0, 0, -1},   {0, 1, 0, 0, 0, -1},          {5, 6, 0, 0, 0, -1},
	{100, 1, 1, 1, 1, -1}, {0, UINT32_MAX, 0, 0, 0, -1},
};

START_TEST(test_fold)
{
	int pool = board_pool_open(&board, "a", "tcp://1", "echo");
	int slot = board_slot_take(&board, pool, 1);
	board_u64 *values = board.workers->slots[slot].values;
	struct board_reader reader;
	struct pool_view view;
	bool counted = dead[_i].open >= 0;

	values[CONN_accepted] = dead[_i].accepted;
	values[CONN_finished] = dead[_i].finished;
	values[CONN_timed_out] = dead[_i].timed_out;
	values[CONN_aborted_error] = dead[_i].aborted;
	values[CONN_refused_guard] = dead[_i].guard;
	values[CONN_busy_usec] = 1234;
	for (int again = 0; again < 2; again++) {
		ck_assert_int_eq(board_slot_fold(&board, slot), again ? 0 : dead[_i].open);
		open_reader(&reader);
		ck_assert(board_read_pool(&reader, (uint32_t)pool, &view));
		board_close(&reader);
		ck_assert_uint_eq(view.connections[CONN_accepted], counted ? dead[_i].accepted : 0);
		ck_assert_uint_eq(view.connections[CONN_aborted_death], dead[_i].open == 1);
		ck_assert_uint_eq(view.connections[CONN_busy_usec], counted ? 1234 : 0);
		ck_assert_uint_eq(board_open_connections(view.connections), 0);
		/* The next in the same slot starts from nothing. */
		ck_assert_int_eq(board_slot_take(&board, pool, 1), slot);
	}
}
END_TEST

START_TEST(test_totals_outlive_workers_and_pools)
{
	const struct sockaddr_in peer = {.sin_family = AF_INET};
	struct board_reader reader;
	struct instance_view view;

	open_reader(&reader);
	for (unsigned round = 1; round <= 5; round++) {
		int pool = board_pool_open(&board, "a", "tcp://1", "echo");
		int slot = board_slot_take(&board, pool, round);

		board_slot_set_pid(&board, slot, 1000 + round);
		for (int i = 0; i < 10; i++) {
			slot_begin(&board.workers->slots[slot], (const struct sockaddr *)&peer,
				   sizeof(peer), 100);
			slot_end(&board.workers->slots[slot], CONN_finished, 107);
		}
		for (int step = 0; step < 3; step++) {
			board_read_instance(&reader, &view);
			ck_assert_uint_eq(view.connections[CONN_accepted], 10 * round);
			ck_assert_uint_eq(view.connections[CONN_busy_usec], 70 * round);
			if (step == 0)
				ck_assert_int_eq(board_slot_fold(&board, slot), 0);
			else if (step == 1)
				board_pool_close(&board, pool);
		}
		ck_assert_uint_eq(board_accepted_by_the_gone(&board), 10 * round);
	}
	board_close(&reader);
}
END_TEST

/* Of a proxy's client: shown and counted as who it is, the user is not the proxy's. */
START_TEST(test_a_peer_that_is_another)
{
	const struct sockaddr_un proxy = {.sun_family = AF_UNIX};
	const struct sockaddr_in client = {.sin_family = AF_INET, .sin_addr = {1}};
	int pool = board_pool_open(&board, "a", "unix:///a", "echo");
	struct board_reader reader;
	struct worker_view view;

	open_reader(&reader);
	for (int i = 0; i < 3; i++) {
		int slot = board_slot_take(&board, pool, 1);
		struct slot *of = &board.workers->slots[slot];

		board_slot_set_pid(&board, slot, 1000);
		slot_begin(of, (const struct sockaddr *)&proxy, sizeof(sa_family_t), 1);
		slot_set_uid(of, 5);
		if (i > 0)
			slot_set_peer(of, (const struct sockaddr *)&client, sizeof(client));
		ck_assert(board_read_worker(&reader, (uint32_t)slot, &view));
		ck_assert_uint_eq(view.peer_len, i ? sizeof(client) : sizeof(sa_family_t));
		ck_assert(i == 0 || memcmp(&view.peer, &client, sizeof(client)) == 0);
		ck_assert_uint_eq(of->peer_uid, i ? UINT32_MAX : 5);
		ck_assert_uint_eq(slot_count_source(of, (size_t)slot, board.master),
				  i ? (unsigned)i : 1);
		ck_assert_uint_eq(view.connections[CONN_accepted], 1);
	}
	board_close(&reader);
}
END_TEST

/* ---- a writer at work ---- */

/* The port of the peer is the number of the connection: torn reads show. */
_Noreturn static void hammer(struct slot *slot)
{
	struct sockaddr_in peer = {.sin_family = AF_INET};

	for (uint32_t i = 1;; i++) {
		peer.sin_port = (uint16_t)i;
		peer.sin_addr.s_addr = i;
		slot_begin(slot, (const struct sockaddr *)&peer, sizeof(peer), i);
		slot_end(slot, CONN_finished, i + 1);
	}
}

static void check_view(const struct worker_view *view)
{
	struct sockaddr_in peer;
	uint64_t accepted = view->connections[CONN_accepted];
	bool busy = view->state == SLOT_BUSY;

	if (accepted == 0)
		return;
	memcpy(&peer, &view->peer, sizeof(peer));
	ck_assert_uint_eq(view->connections[CONN_finished] + busy, accepted);
	ck_assert_uint_eq(view->connections[CONN_busy_usec], view->connections[CONN_finished]);
	ck_assert_uint_eq(view->since_usec, accepted + !busy);
	ck_assert_uint_eq(peer.sin_addr.s_addr, (uint32_t)accepted);
	ck_assert_uint_eq(peer.sin_port, (uint16_t)accepted);
	ck_assert_uint_eq(view->peer_len, sizeof(peer));
}

START_TEST(test_reads_while_a_writer_hammers)
{
	int pool = board_pool_open(&board, "a", "tcp://1", "echo");
	int slot = board_slot_take(&board, pool, 1);
	unsigned whole = 0, busy = 0;
	uint64_t last = 0;
	struct board_reader reader;
	struct worker_view view;
	pid_t pid = fork();

	if (pid == 0)
		hammer(&board.workers->slots[slot]);
	board_slot_set_pid(&board, slot, (uint32_t)pid);
	open_reader(&reader);
	while (whole < 20000 || busy < 100 || last < 100000) {
		ck_assert(board_read_worker(&reader, (uint32_t)slot, &view));
		if (view.torn)
			continue;
		check_view(&view);
		ck_assert_uint_ge(view.connections[CONN_accepted], last);
		last = view.connections[CONN_accepted];
		busy += view.state == SLOT_BUSY;
		whole++;
	}
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	/* It died at any point, perhaps in the middle of a write. */
	ck_assert_int_ge(board_slot_fold(&board, slot), 0);
	board_close(&reader);
}
END_TEST

START_TEST(test_a_writer_that_died_half_way)
{
	int pool = board_pool_open(&board, "a", "tcp://1", "echo");
	int slot = board_slot_take(&board, pool, 1);
	struct board_reader reader;
	struct worker_view worker;
	struct pool_view view;

	board_slot_set_pid(&board, slot, 4711);
	seq_write_begin(&board.workers->slots[slot].seq);
	open_reader(&reader);
	ck_assert(board_read_worker(&reader, (uint32_t)slot, &worker));
	ck_assert(worker.torn);
	ck_assert(board_read_pool(&reader, (uint32_t)pool, &view));
	ck_assert(view.torn);
	ck_assert_int_eq(board_slot_fold(&board, slot), 0);
	ck_assert(board_read_pool(&reader, (uint32_t)pool, &view));
	ck_assert(!view.torn);
	board_close(&reader);
}
END_TEST

/* ---- verdicts ---- */

START_TEST(test_verdicts)
{
	char *long_text = malloc(2 * BOARD_VERDICT_MAX);
	struct board_reader reader;
	struct verdict_view view;

	memset(long_text, 'x', 2 * BOARD_VERDICT_MAX);
	long_text[2 * BOARD_VERDICT_MAX - 1] = '\0';
	open_reader(&reader);
	board_read_verdict(&reader, VERDICT_RELOAD, &view);
	ck_assert(view.begun == 0 && view.finished == 0 && !view.failed && !*view.text);
	ck_assert_uint_eq(board_verdict_begin(&board, VERDICT_RELOAD), 1);
	board_read_verdict(&reader, VERDICT_RELOAD, &view);
	ck_assert(view.begun == 1 && view.finished == 0);
	board_verdict_finish(&board, VERDICT_RELOAD, 78, "it is wrong");
	ck_assert_uint_eq(board_verdict_begin(&board, VERDICT_RELOAD), 2);
	board_read_verdict(&reader, VERDICT_RELOAD, &view);
	ck_assert(view.begun == 2 && view.finished == 1 && view.failed);
	ck_assert_str_eq(view.text, "it is wrong");
	board_verdict_finish(&board, VERDICT_RELOAD, 0, long_text);
	board_read_verdict(&reader, VERDICT_RELOAD, &view);
	ck_assert(view.finished == 2 && !view.failed);
	ck_assert_uint_eq(strlen(view.text), BOARD_VERDICT_MAX - 1);
	/* Each kind for itself. */
	board_read_verdict(&reader, VERDICT_STOP, &view);
	ck_assert(view.begun == 0 && view.finished == 0 && !*view.text);
	board_close(&reader);
	free(long_text);
}
END_TEST

static Suite *board_suite(void)
{
	Suite *suite = suite_create("board");
	TCase *board_case = tcase_create("board");

	tcase_set_timeout(board_case, 60);
	tcase_add_checked_fixture(board_case, create_board, remove_board);
	tcase_add_test(board_case, test_instance);
	tcase_add_test(board_case, test_udp_ports);
	tcase_add_test(board_case, test_pools);
	tcase_add_test(board_case, test_as_many_pools_as_there_are);
	tcase_add_test(board_case, test_slots);
	tcase_add_test(board_case, test_as_many_slots_as_there_are);
	tcase_add_loop_test(board_case, test_fold, 0, COUNT(dead));
	tcase_add_test(board_case, test_totals_outlive_workers_and_pools);
	tcase_add_test(board_case, test_a_peer_that_is_another);
	tcase_add_test(board_case, test_reads_while_a_writer_hammers);
	tcase_add_test(board_case, test_a_writer_that_died_half_way);
	tcase_add_test(board_case, test_verdicts);
	suite_add_tcase(suite, board_case);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(board_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
