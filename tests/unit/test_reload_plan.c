/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/reload.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(*(array))))
#define MOST         8

/*
 * Pools are written SERVICE@ADDRESS=FINGERPRINT, old ones with a ~ behind when the kernel chose the
 * port. Steps are K R T (with the number of the old pool) and A, fates K R D.
 */
static const struct {
	const char *old, *fresh, *steps, *fates;
} plans[] = {
	{"", "", "", ""},
	{"", "a@1=x", "A", ""},
	{"a@1=x", "", "", "D"},
	{"a@1=x", "a@1=x", "K0", "K"},
	{"a@1=x", "a@1=y", "R0", "R"},
	{"a@1=x", "a@2=x", "A", "D"},
	{"a@1=x", "b@1=x", "T0", "R"},
	{"a@1=x", "b@2=x", "A", "D"},
	/* more services and addresses */
	{"a@1=x", "a@1=x a@2=x", "K0 A", "K"},
	{"a@1=x a@2=x", "a@2=x", "K1", "D K"},
	{"a@1=x a@2=x", "a@1=y a@2=y", "R0 R1", "R R"},
	{"a@1=x b@2=x c@3=x", "a@1=x b@2=y d@4=x", "K0 R1 A", "K R D"},
	/* the order means nothing */
	{"a@1=x b@2=x", "b@2=x a@1=x", "K1 K0", "K K"},
	{"a@1=x b@2=x c@3=x", "c@3=y a@1=x b@2=x", "R2 K0 K1", "K K R"},
	/* another service on the same address */
	{"a@1=x b@2=x", "a@1=x c@2=x", "K0 T1", "K R"},
	{"a@1=x b@2=x", "b@1=x a@2=x", "T0 T1", "R R"},
	{"a@1=x b@2=x", "b@1=x", "T0", "R D"},
	{"a@1=x b@2=x c@3=x", "b@1=x c@2=x a@3=x", "T0 T1 T2", "R R R"},
	{"a@1=x a@2=x", "b@2=x a@1=x", "T1 K0", "K R"},
	/* one that stays is not taken by another, whatever the order */
	{"a@1=x", "b@2=x a@1=y", "A R0", "R"},
	/* a port that the kernel chose: the service's own, and nobody else's */
	{"a@0=x~", "a@0=x", "K0", "K"},
	{"a@0=x~", "a@0=y", "R0", "R"},
	{"a@0=x~", "b@0=x", "A", "D"},
	{"a@0=x~ b@0=x~", "b@0=x a@0=x", "K1 K0", "K K"},
	{"a@0=x~", "a@0=x b@0=x", "K0 A", "K"},
	/* an acceptor has several, and its fingerprint tells of all: one more is another one */
	{"a@1=12 a@2=12", "a@2=12 a@1=12", "K1 K0", "K K"},
	{"a@1=12 a@2=12", "a@1=123 a@2=123 a@3=123", "R0 R1 A", "R R"},
	{"a@1=12 a@2=12", "a@2=2", "R1", "D R"},
	{"a@1=x a@2=x", "a@1=12 a@2=12", "R0 R1", "R R"},
	{"a@1=12 a@2=12", "b@1=12 c@2=x", "T0 T1", "R R"},
	/* a pool that drains has no name; its address can be had back, where that is possible */
	{"@1=x", "a@1=x", "T0", "R"},
	{"@1=x~", "a@1=x", "A", "D"},
	{"@1=x", "", "", "D"},
	{"@1=x b@2=x", "b@2=x", "K1", "D K"},
};

static size_t read_pools(char *text, struct reload_pool *pools)
{
	size_t n = 0;
	char *rest;

	for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		char *address = strchr(word, '@'), *fingerprint = strchr(word, '=');
		char *tilde = strchr(word, '~');

		ck_assert_uint_lt(n, MOST);
		*address = *fingerprint = '\0';
		if (tilde)
			*tilde = '\0';
		pools[n++] = (struct reload_pool){word, address + 1, fingerprint + 1, !tilde};
	}
	return n;
}

static void write_steps(char *text, const struct reload_step *steps, size_t count)
{
	*text = '\0';
	for (size_t i = 0; i < count; i++) {
		text += sprintf(text, "%s%c", i ? " " : "", "KRTA"[steps[i].action]);
		if (steps[i].action != RELOAD_ADD)
			text += sprintf(text, "%zu", steps[i].old);
	}
}

static void write_fates(char *text, const enum reload_fate *fates, size_t count)
{
	*text = '\0';
	for (size_t i = 0; i < count; i++)
		text += sprintf(text, "%s%c", i ? " " : "", "KRD"[fates[i]]);
}

START_TEST(test_plan)
{
	struct reload_pool old[MOST], fresh[MOST];
	struct reload_step steps[MOST];
	enum reload_fate fates[MOST];
	char *old_text = strdup(plans[_i].old), *fresh_text = strdup(plans[_i].fresh);
	size_t old_count = read_pools(old_text, old), fresh_count = read_pools(fresh_text, fresh);
	char text[MOST * 16];

	memset(steps, 0xff, sizeof(steps));
	memset(fates, 0xff, sizeof(fates));
	reload_plan(old, old_count, fresh, fresh_count, steps, fates);
	write_steps(text, steps, fresh_count);
	ck_assert_str_eq(text, plans[_i].steps);
	write_fates(text, fates, old_count);
	ck_assert_str_eq(text, plans[_i].fates);
	free(old_text);
	free(fresh_text);
}
END_TEST

/* ---- any two configurations ---- */

static const char *const names[] = {"a", "b", "c"};
static const char *const addresses[] = {"1", "2", "3"};
static const char *const fingerprints[] = {"x", "y"};

/* Up to three pools, no address twice: the check of the configuration sees to that. */
static size_t make_pools(struct reload_pool *pools, unsigned number)
{
	size_t n = 0;
	unsigned first = number / 512 % 3;

	for (unsigned i = 0; i < 3; i++) {
		unsigned digit = number >> (3 * i) & 7;
		unsigned address = (first + i) % 3;

		if (digit >= 6)
			continue;
		pools[n++] = (struct reload_pool){names[digit % 3], addresses[address],
						  fingerprints[digit / 3], address != 2};
	}
	return n;
}

static bool same(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

/* ck_assert() writes a file for each success: too slow for so many. */
static void require(bool ok)
{
	if (!ok)
		ck_abort_msg("a plan that makes no sense");
}

/* Each step is one that its old pool allows. */
static void check_step(const struct reload_pool *old, size_t old_count,
		       const struct reload_pool *fresh, const struct reload_step *step)
{
	const struct reload_pool *from = &old[step->old];
	bool own, equal;

	if (step->action == RELOAD_ADD) {
		for (size_t i = 0; i < old_count; i++)
			require(!same(old[i].address, fresh->address) ||
				(!old[i].fixed_port && !same(old[i].service, fresh->service)));
		return;
	}
	require(step->old < old_count);
	own = same(from->service, fresh->service) && same(from->address, fresh->address);
	equal = same(from->fingerprint, fresh->fingerprint);
	if (step->action == RELOAD_TAKE)
		require(!own && from->fixed_port && same(from->address, fresh->address));
	else
		require(own && equal == (step->action == RELOAD_KEEP));
}

/* Each old pool is used once at most, and its fate is that use. */
static void check_fate(size_t index, enum reload_fate fate, const struct reload_step *steps,
		       size_t count)
{
	unsigned kept = 0, others = 0;

	for (size_t i = 0; i < count; i++) {
		if (steps[i].action == RELOAD_ADD || steps[i].old != index)
			continue;
		kept += steps[i].action == RELOAD_KEEP;
		others += steps[i].action != RELOAD_KEEP;
	}
	require(kept + others <= 1);
	require(fate == (kept ? RELOAD_KEPT : others ? RELOAD_REPLACED : RELOAD_DROPPED));
}

static void check_all_after(unsigned before)
{
	struct reload_pool old[3], fresh[3];
	struct reload_step steps[3];
	enum reload_fate fates[3];
	size_t old_count = make_pools(old, before);

	for (unsigned number = 0; number < 3 * 512; number++) {
		size_t fresh_count = make_pools(fresh, number);

		memset(steps, 0xff, sizeof(steps));
		memset(fates, 0xff, sizeof(fates));
		reload_plan(old, old_count, fresh, fresh_count, steps, fates);
		for (size_t i = 0; i < fresh_count; i++)
			check_step(old, old_count, &fresh[i], &steps[i]);
		for (size_t i = 0; i < old_count; i++)
			check_fate(i, fates[i], steps, fresh_count);
	}
}

START_TEST(test_any_two)
{
	for (unsigned before = 0; before < 512; before++)
		check_all_after(before);
}
END_TEST

static Suite *reload_plan_suite(void)
{
	Suite *suite = suite_create("reload_plan");
	TCase *plan = tcase_create("plan");

	tcase_add_loop_test(plan, test_plan, 0, COUNT(plans));
	tcase_set_timeout(plan, 60);
	tcase_add_test(plan, test_any_two);
	suite_add_tcase(suite, plan);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(reload_plan_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
