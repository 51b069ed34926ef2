/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/siphash.h"
#include "worker/sources.h"

#define SEC UINT64_C(1000000)
#define NOW (1000 * SEC)

static struct sources *sources;

static void set_up(void)
{
	sources = sources_new();
	ck_assert_ptr_nonnull(sources);
	sources_hand_down(sources, true);
}

static void tear_down(void)
{
	sources_free(sources);
}

static uint64_t tag4(uint32_t address)
{
	const struct sockaddr_in in = {.sin_family = AF_INET,
				       .sin_port = (in_port_t)random(),
				       .sin_addr.s_addr = htonl(address)};

	return sources_tag(sources, (const struct sockaddr *)&in, (uint32_t)random());
}

static uint64_t tag6(const char *address)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = (in_port_t)random()};

	ck_assert_int_eq(inet_pton(AF_INET6, address, &in6.sin6_addr), 1);
	return sources_tag(sources, (const struct sockaddr *)&in6, (uint32_t)random());
}

static uint64_t tag_of_user(uint32_t uid)
{
	const struct sockaddr_un un = {.sun_family = AF_UNIX};

	return sources_tag(sources, (const struct sockaddr *)&un, uid);
}

/* ---- tags ---- */

START_TEST(test_tags)
{
	struct sources *first = sources;
	uint64_t tag = tag4(0x7f000001);

	ck_assert_uint_ne(tag, 0);
	ck_assert_uint_eq(tag, tag4(0x7f000001));
	ck_assert_uint_ne(tag, tag4(0x7f000002));
	ck_assert_uint_eq(tag6("2001:db8::1"), tag6("2001:db8::ffff:0:0:1"));
	ck_assert_uint_ne(tag6("2001:db8::1"), tag6("2001:db8:0:1::1"));
	ck_assert_uint_ne(tag6("::1"), tag_of_user(0));
	ck_assert_uint_eq(tag_of_user(1000), tag_of_user(1000));
	ck_assert_uint_ne(tag_of_user(1000), tag_of_user(1001));
	ck_assert_uint_ne(tag_of_user(0x0100007f), tag);
	/* Nobody can know which sources share a set. */
	sources = sources_new();
	ck_assert_uint_ne(tag, tag4(0x7f000001));
	sources_free(sources);
	sources = first;
}
END_TEST

/* As Python has them, for bytes and a key of zeros. */
START_TEST(test_siphash)
{
	const uint64_t key[2] = {0, 0};

	ck_assert_uint_eq(siphash(key, 0, 0), UINT64_C(0x76be999e3e25b2a0));
	ck_assert_uint_eq(siphash(key, 2, 0x0100007f), UINT64_C(0xa3a253e572262d3c));
	ck_assert_uint_eq(siphash(key, UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)),
			  UINT64_C(0x8972188433a5c5b7));
}
END_TEST

/* ---- how fast ---- */

static const struct rate rates[] = {
	{1, SEC},        {3, SEC},      {100, SEC},       {7000, SEC},        {300000, SEC},
	{600, 60 * SEC}, {7, 60 * SEC}, {10, 3600 * SEC}, {1000000, 1 * SEC},
};
#define RATES ((int)(sizeof(rates) / sizeof(rates[0])))

/* A bucket that leaks: what a client pours in is gone after `cost`. In nanoseconds, as exact as the
 * clock; `when` is the time of the last. */
struct model {
	uint64_t level, when;
};

static bool model_passes(struct model *m, const struct rate *rate, uint64_t now_usec)
{
	uint64_t cost = rate->per_usec * 1000 / rate->count, now = now_usec * 1000;

	m->level = m->level > now - m->when ? m->level - (now - m->when) : 0;
	m->when = now;
	if (m->level + cost > cost * rate->count)
		return false;
	m->level += cost;
	return true;
}

/* In nanoseconds; four sources come half as fast again as they may, in bursts and after silences.
 */
static uint64_t random_step(const struct rate *rate)
{
	uint64_t period = rate->per_usec * 1000, mean = period / rate->count / 6;

	if ((uint64_t)random() % (16 * rate->count) == 0)
		return (uint64_t)random() % (2 * period);
	return random() % 2 ? 0 : (uint64_t)random() % (4 * mean + 1);
}

START_TEST(test_pass_is_exact)
{
	const struct rate *rate = &rates[_i];
	const uint64_t tags[] = {tag4(1), tag4(2), tag6("2001:db8::"), tag_of_user(3)};
	struct model models[4] = {0};
	uint64_t nsec = NOW * 1000;
	int passed = 0;

	for (int i = 0; i < 200000; i++) {
		uint64_t now = nsec / 1000;
		int k = (int)(random() % 4);
		bool expected = model_passes(&models[k], rate, now);

		if (sources_pass(sources, tags[k], rate, now) != expected)
			ck_abort_msg("%d of %d: at %llu", i, _i, (unsigned long long)now);
		passed += expected;
		nsec += random_step(rate);
	}
	ck_assert_int_gt(passed, 1000);
	if (rate->count < 100000)
		ck_assert_int_lt(passed, 199000);
}
END_TEST

START_TEST(test_burst)
{
	const struct rate *rate = &rates[_i];
	uint64_t tag = tag4(1), most = rate->count < 100000 ? rate->count : 100000;

	for (uint64_t i = 0; i < most; i++)
		ck_assert(sources_pass(sources, tag, rate, NOW));
	if (most == rate->count)
		ck_assert(!sources_pass(sources, tag, rate, NOW));
	/* Full again after a period, and no fuller. */
	for (uint64_t i = 0; i < most; i++)
		ck_assert(sources_pass(sources, tag, rate, NOW + 10 * rate->per_usec));
	if (most == rate->count)
		ck_assert(!sources_pass(sources, tag, rate, NOW + 10 * rate->per_usec));
}
END_TEST

/* After a reload. */
START_TEST(test_slow_becomes_fast)
{
	const struct rate slow = {1, 3600 * SEC}, fast = {100, SEC};
	uint64_t tag = tag4(1);

	ck_assert(sources_pass(sources, tag, &slow, NOW));
	ck_assert(!sources_pass(sources, tag, &slow, NOW));
	ck_assert(!sources_pass(sources, tag, &fast, NOW));
	ck_assert(sources_pass(sources, tag, &fast, NOW + 3600 * SEC));
	sources_rate_take(sources, &slow, NOW);
	ck_assert_uint_gt(sources_rate_due(sources, &fast, 1, NOW), 3000 * SEC);
	sources_rate_reset(sources);
	ck_assert_uint_eq(sources_rate_due(sources, &fast, 1, NOW), 0);
}
END_TEST

START_TEST(test_service_rate)
{
	const struct rate rate = {100, SEC};

	for (int i = 0; i < 100; i++) {
		ck_assert_uint_eq(sources_rate_due(sources, &rate, 1, NOW), 0);
		ck_assert_uint_eq(sources_rate_take(sources, &rate, NOW), 0);
	}
	ck_assert_uint_eq(sources_rate_due(sources, &rate, 1, NOW), 10000);
	ck_assert_uint_eq(sources_rate_due(sources, &rate, 1, NOW + 9999), 1);
	ck_assert_uint_eq(sources_rate_due(sources, &rate, 1, NOW + 10000), 0);
	/* Those that were taken before their time are owed one after the other. */
	ck_assert_uint_eq(sources_rate_take(sources, &rate, NOW), 10000);
	ck_assert_uint_eq(sources_rate_take(sources, &rate, NOW), 20000);
	ck_assert_uint_eq(sources_rate_due(sources, &rate, 1, NOW + 10000), 20000);
	ck_assert_uint_eq(sources_rate_due(sources, &rate, 1, NOW + 30000), 0);
	ck_assert_uint_eq(sources_rate_take(sources, &rate, NOW + 30000), 0);
}
END_TEST

/* In virtual time, by whoever is idle first: not one more than the rate allows. Each assertion of
 * Check's is a write to a file: one for all. */
START_TEST(test_service_rate_is_exact)
{
	const struct rate *rate = &rates[_i];
	uint64_t cost = rate->per_usec * 1000 / rate->count, now = NOW, begin = now * 1000;
	uint64_t most = rate->count + 1000, wrong = 0;

	for (uint64_t i = 0; i < most; i++) {
		uint64_t least = i < rate->count ? begin : begin + (i - rate->count + 1) * cost;

		now += sources_rate_due(sources, rate, 1, now);
		wrong += sources_rate_due(sources, rate, 1, now) != 0;
		wrong += sources_rate_take(sources, rate, now) != 0;
		wrong += now * 1000 < least || now * 1000 > least + 1000;
	}
	ck_assert_uint_eq(wrong, 0);
}
END_TEST

START_TEST(test_tokens)
{
	const struct rate *rate = &rates[_i];
	uint64_t count = rate->count, few = count < 5 ? count : 5;

	ck_assert_uint_eq(sources_rate_tokens(sources, rate, NOW), count);
	ck_assert_uint_eq(sources_rate_due(sources, rate, count, NOW), 0);
	for (uint64_t i = 1; i <= few; i++) {
		sources_rate_take(sources, rate, NOW);
		ck_assert_uint_eq(sources_rate_tokens(sources, rate, NOW), count - i);
	}
	ck_assert(!sources_rate_rests(sources, rate, NOW + SEC - 1, SEC));
	ck_assert(sources_rate_rests(sources, rate, NOW + 2 * rate->per_usec, SEC));
	/* Each comes when it was said, and not a microsecond before. */
	for (uint64_t i = count - few; i <= count; i++) {
		uint64_t due = sources_rate_due(sources, rate, i, NOW);

		ck_assert_uint_ge(sources_rate_tokens(sources, rate, NOW + due), i);
		if (due)
			ck_assert_uint_lt(sources_rate_tokens(sources, rate, NOW + due - 1), i);
	}
	ck_assert_uint_eq(sources_rate_tokens(sources, rate, NOW + 9 * rate->per_usec), count);
	for (uint64_t i = 0; i < 9 && count < 100; i++)
		for (uint64_t k = 0; k < count; k++)
			sources_rate_take(sources, rate, NOW);
	if (count < 100)
		ck_assert_uint_eq(sources_rate_tokens(sources, rate, NOW), 0);
	if (count < 100)
		ck_assert(!sources_rate_rests(sources, rate, NOW + SEC, SEC));
}
END_TEST

/* ---- processes ---- */

#define CHILDREN 4

static pid_t children[CHILDREN];

static void *share(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert(p != MAP_FAILED);
	return p;
}

static void fork_children(void (*run)(int, void *), void *shared)
{
	for (int i = 0; i < CHILDREN; i++) {
		children[i] = fork();
		if (children[i] == 0) {
			srandom((unsigned)i + 1);
			run(i, shared);
			_exit(0);
		}
	}
}

static void join_children(void)
{
	int status;

	for (int i = 0; i < CHILDREN; i++) {
		ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
		ck_assert_int_eq(status, 0);
	}
}

#define TAKES 50000

static void take_tokens(int number, void *shared)
{
	const struct rate rate = {1000, SEC};
	_Atomic uint64_t *sum = shared;

	(void)number;
	for (int i = 0; i < TAKES; i++)
		atomic_fetch_add(sum, sources_rate_take(sources, &rate, NOW));
}

/* Each gets a turn of its own. */
START_TEST(test_service_rate_of_many)
{
	_Atomic uint64_t *sum = share(sizeof(*sum));
	uint64_t late = (uint64_t)CHILDREN * TAKES - 1000;

	fork_children(take_tokens, sum);
	join_children();
	ck_assert_uint_eq(atomic_load(sum), late * (late + 1) / 2 * 1000);
}
END_TEST

static void pass_many(int number, void *shared)
{
	const struct rate rate = {5000, SEC};
	_Atomic uint64_t *passed = shared;

	(void)number;
	for (int i = 0; i < TAKES; i++)
		atomic_fetch_add(passed, sources_pass(sources, tag4((uint32_t)i % 4), &rate, NOW));
}

START_TEST(test_rate_of_many)
{
	_Atomic uint64_t *passed = share(sizeof(*passed));

	fork_children(pass_many, passed);
	join_children();
	ck_assert_uint_eq(atomic_load(passed), 4 * 5000);
}
END_TEST

/* What comes in and goes out all the time, through sets that are full, too. */
struct crowd {
	_Atomic unsigned inside[64];
	_Atomic unsigned entered, most, other;
};
#define LIMIT 2

static void come_and_go(int number, void *shared)
{
	struct crowd *c = shared;

	(void)number;
	for (int i = 0; i < TAKES; i++) {
		unsigned who = (unsigned)random() % 64, inside;
		uint64_t tag = tag4(who);
		struct source_hold hold = sources_hold(sources, tag, NOW);

		/* Others drive the idle ones out. */
		if (i % 4 == 0) {
			uint64_t other = tag4(1000 + (uint32_t)random() % 1000000);
			struct source_hold held = sources_hold(sources, other, NOW);

			sources_release(sources, other, &held);
		}
		if (hold.entry != SOURCES_NONE && source_hold_count(&hold) <= LIMIT) {
			atomic_fetch_add(&c->entered, 1);
			inside = atomic_fetch_add(&c->inside[who], 1) + 1;
			if (inside > atomic_load(&c->most))
				atomic_store(&c->most, inside);
			atomic_fetch_sub(&c->inside[who], 1);
		}
		sources_release(sources, tag, &hold);
	}
}

START_TEST(test_never_more_than_the_limit)
{
	struct crowd *c = share(sizeof(*c));

	fork_children(come_and_go, c);
	join_children();
	ck_assert_uint_le(atomic_load(&c->most), LIMIT);
	ck_assert_uint_gt(atomic_load(&c->entered), TAKES);
	for (uint32_t i = 0; i < 64; i++) {
		struct source_hold hold = sources_hold(sources, tag4(i), NOW);

		ck_assert_uint_eq(source_hold_count(&hold), 1);
	}
}
END_TEST

static void hold_for_ever(int number, void *shared)
{
	_Atomic unsigned *rounds = shared;

	(void)number;
	for (uint32_t i = 0;; i = (i + 1) % 8) {
		struct source_hold hold = sources_hold(sources, tag4(i), NOW);

		atomic_fetch_add(rounds, 1);
		sources_release(sources, tag4(i), &hold);
	}
}

/* Killed at any moment: what they held stays, and is put right by whoever counts. */
START_TEST(test_the_dead_hold_nothing)
{
	_Atomic unsigned *rounds = share(sizeof(*rounds));
	unsigned left = 0;

	for (int round = 0; round < 50; round++) {
		unsigned begun = atomic_load(rounds);

		fork_children(hold_for_ever, rounds);
		while (atomic_load(rounds) < begun + 1000 + (unsigned)random() % 5000)
			usleep(50);
		for (int i = 0; i < CHILDREN; i++) {
			kill(children[i], SIGKILL);
			waitpid(children[i], NULL, 0);
		}
	}
	for (uint32_t i = 0; i < 8; i++) {
		struct source_hold hold = sources_hold(sources, tag4(i), NOW);

		left += source_hold_count(&hold) - 1;
		sources_release(sources, tag4(i), &hold);
		sources_correct(sources, tag4(i), &hold, 0);
		hold = sources_hold(sources, tag4(i), NOW);
		ck_assert_uint_eq(source_hold_count(&hold), 1);
	}
	/* Else nothing was to be put right. */
	ck_assert_uint_gt(left, 0);
}
END_TEST

START_TEST(test_correct)
{
	uint64_t tag = tag4(1);
	struct source_hold a = sources_hold(sources, tag, NOW), b, c;

	sources_hold(sources, tag, NOW); /* by one that died */
	b = sources_hold(sources, tag, NOW);
	ck_assert_uint_eq(source_hold_count(&b), 3);
	sources_release(sources, tag, &b);
	ck_assert_uint_eq(source_hold_count(&b), 2);
	/* Somebody came and went since: who knows what they counted. */
	c = sources_hold(sources, tag, NOW);
	sources_release(sources, tag, &c);
	sources_correct(sources, tag, &b, 1);
	b = sources_hold(sources, tag, NOW);
	ck_assert_uint_eq(source_hold_count(&b), 3);
	sources_release(sources, tag, &b);
	sources_correct(sources, tag, &b, 1);
	b = sources_hold(sources, tag, NOW);
	ck_assert_uint_eq(source_hold_count(&b), 2);
	/* It is never raised. */
	sources_release(sources, tag, &b);
	sources_correct(sources, tag, &b, 9);
	sources_release(sources, tag, &a);
	b = sources_hold(sources, tag, NOW);
	ck_assert_uint_eq(source_hold_count(&b), 1);
}
END_TEST

/* ---- room ---- */

START_TEST(test_many_sources)
{
	const struct rate rate = {3, 3600 * SEC};

	for (int round = 0; round < 4; round++)
		for (uint32_t i = 0; i < 2000; i++)
			ck_assert(sources_pass(sources, tag4(i), &rate, NOW) == (round < 3));
}
END_TEST

/* More than fit: none is refused for what others did, and none that is connected is forgotten. */
START_TEST(test_more_than_fit)
{
	const struct rate rate = {1, 3600 * SEC};
	struct source_hold held[3];
	uint64_t mine = tag6("2001:db8::1");

	for (int i = 0; i < 3; i++)
		held[i] = sources_hold(sources, mine, NOW);
	for (uint32_t i = 0; i < 4 * SOURCES_MAX; i++)
		ck_assert(sources_pass(sources, tag4(i), &rate, NOW));
	for (int i = 0; i < 3; i++) {
		struct source_hold hold = sources_hold(sources, mine, NOW);

		ck_assert_uint_eq(source_hold_count(&hold), 4);
		sources_release(sources, mine, &hold);
	}
	for (int i = 0; i < 3; i++)
		sources_release(sources, mine, &held[i]);
}
END_TEST

/* Who owes least is forgotten first. */
START_TEST(test_the_least_is_forgotten)
{
	const struct rate rate = {2, 3600 * SEC};
	uint32_t forgotten = 0;

	for (uint32_t i = 0; i < 100; i++)
		ck_assert(sources_pass(sources, tag4(i), &rate, NOW) &&
			  sources_pass(sources, tag4(i), &rate, NOW));
	for (uint32_t i = 0; i < 2 * SOURCES_MAX; i++)
		ck_assert(sources_pass(sources, tag4(1000 + i), &rate, NOW));
	for (uint32_t i = 0; i < 100; i++)
		forgotten += sources_pass(sources, tag4(i), &rate, NOW);
	ck_assert_uint_eq(forgotten, 0);
}
END_TEST

START_TEST(test_everybody_is_connected)
{
	const uint32_t most = 2 * SOURCES_MAX;
	struct source_hold *held = calloc(most, sizeof(*held));
	const struct rate rate = {1, SEC};
	uint32_t none = 0;

	for (uint32_t i = 0; i < most; i++) {
		held[i] = sources_hold(sources, tag4(i), NOW);
		none += held[i].entry == SOURCES_NONE;
		/* Without room there is no limit either. */
		ck_assert(sources_pass(sources, tag4(i), &rate, NOW));
	}
	ck_assert_uint_ge(none, most - SOURCES_MAX);
	ck_assert_uint_lt(none, most - SOURCES_MAX / 2);
	for (uint32_t i = 0; i < most; i++)
		sources_release(sources, tag4(i), &held[i]);
	for (uint32_t i = 0; i < 1000; i++) {
		struct source_hold hold = sources_hold(sources, tag4(most + i), NOW);

		ck_assert_uint_ne(hold.entry, SOURCES_NONE);
	}
	free(held);
}
END_TEST

/* ---- the rest ---- */

START_TEST(test_tells_once_a_second)
{
	uint64_t tag = tag4(1);
	unsigned suppressed = 99, told = 0;

	ck_assert(sources_may_tell(sources, tag, NOW, &suppressed));
	ck_assert_uint_eq(suppressed, 0);
	for (uint64_t i = 0; i < 500; i++)
		ck_assert(!sources_may_tell(sources, tag, NOW + i * 1999, &suppressed));
	ck_assert(sources_may_tell(sources, tag, NOW + SEC, &suppressed));
	ck_assert_uint_eq(suppressed, 500);
	/* However many there are. */
	for (uint32_t i = 0; i < 10000; i++)
		told += sources_may_tell(sources, tag4(i), NOW + 10 * SEC, &suppressed);
	ck_assert_uint_eq(told, SOURCES_LINES);
}
END_TEST

START_TEST(test_empty)
{
	ck_assert_uint_eq(sources_last_empty(sources, 7), 0);
	sources_note_empty(sources, 7, NOW);
	ck_assert_uint_eq(sources_last_empty(sources, 7), NOW);
	ck_assert_uint_eq(sources_last_empty(sources, 8), 0);
	sources_note_empty(sources, UINT32_MAX, NOW);
	ck_assert_uint_eq(sources_last_empty(sources, UINT32_MAX), 0);
}
END_TEST

START_TEST(test_queue)
{
	ck_assert(!sources_queue_is_known(sources, 7, 0));
	ck_assert_uint_eq(sources_seen_waiting(sources, 7, 1), UINT64_MAX);
	ck_assert_uint_eq(sources_accepted(sources, 7), 0);
	for (uint64_t i = 1; i <= 10; i++)
		ck_assert_uint_eq(sources_count_accepted(sources, 7), i);
	ck_assert_uint_eq(sources_count_accepted(sources, 8), 1);
	sources_note_queue(sources, 7, 10, 0, NOW);
	ck_assert(sources_queue_is_known(sources, 7, NOW - 1));
	ck_assert(!sources_queue_is_known(sources, 7, NOW));
	ck_assert_uint_eq(sources_seen_waiting(sources, 7, 11), UINT64_MAX);
	/* Two of them are accepted between this and the next look, and five come. */
	sources_note_queue(sources, 7, 10, 3, NOW + 10);
	sources_note_queue(sources, 7, 12, 6, NOW + 20);
	for (uint64_t i = 11; i <= 13; i++)
		ck_assert_uint_eq(sources_seen_waiting(sources, 7, i), NOW + 10);
	for (uint64_t i = 14; i <= 18; i++)
		ck_assert_uint_eq(sources_seen_waiting(sources, 7, i), NOW + 20);
	ck_assert_uint_eq(sources_seen_waiting(sources, 7, 19), UINT64_MAX);
	/* Old looks are overwritten. */
	for (uint64_t i = 0; i < 16; i++)
		sources_note_queue(sources, 7, 12, 6, NOW + 100 + i);
	ck_assert_uint_eq(sources_seen_waiting(sources, 7, 11), NOW + 100);
	ck_assert_uint_eq(sources_seen_waiting(sources, UINT32_MAX, 1), UINT64_MAX);
	sources_note_queue(sources, UINT32_MAX, 1, 1, NOW);
	ck_assert_uint_eq(sources_count_accepted(sources, UINT32_MAX), 0);
}
END_TEST

/* A worker of another service has nothing of it. */
START_TEST(test_handed_down)
{
	const struct rate rate = {1, SEC};
	uint64_t tag = tag4(1);
	int status;
	pid_t pid;

	sources_hand_down(sources, false);
	pid = fork();
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
		signal(SIGSEGV, SIG_DFL);
		sources_pass(sources, tag, &rate, NOW);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
	sources_hand_down(sources, true);
	pid = fork();
	if (pid == 0)
		_exit(!sources_pass(sources, tag, &rate, NOW));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert(!sources_pass(sources, tag, &rate, NOW));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sources");
	TCase *tests = tcase_create("sources");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, test_tags);
	tcase_add_test(tests, test_siphash);
	tcase_add_loop_test(tests, test_pass_is_exact, 0, RATES);
	tcase_add_loop_test(tests, test_burst, 0, RATES);
	tcase_add_test(tests, test_slow_becomes_fast);
	tcase_add_test(tests, test_service_rate);
	tcase_add_loop_test(tests, test_service_rate_is_exact, 0, RATES);
	tcase_add_loop_test(tests, test_tokens, 0, RATES);
	tcase_add_test(tests, test_service_rate_of_many);
	tcase_add_test(tests, test_rate_of_many);
	tcase_add_test(tests, test_never_more_than_the_limit);
	tcase_add_test(tests, test_the_dead_hold_nothing);
	tcase_add_test(tests, test_correct);
	tcase_add_test(tests, test_many_sources);
	tcase_add_test(tests, test_more_than_fit);
	tcase_add_test(tests, test_the_least_is_forgotten);
	tcase_add_test(tests, test_everybody_is_connected);
	tcase_add_test(tests, test_tells_once_a_second);
	tcase_add_test(tests, test_empty);
	tcase_add_test(tests, test_queue);
	tcase_add_test(tests, test_handed_down);
	tcase_set_timeout(tests, 60);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
