/* SPDX-License-Identifier: ISC */
/* A configuration as bytes, between processes: whole, cut, and wrong. */
#include <config.h>

#include "test_config.h"

static struct config *rich_config(void)
{
	struct error_list errors = {0};
	struct config *config = build(rich_entries());

	config_resolve(config, NULL, &errors);
	ck_assert_msg(errors.count == 0, "%s", errors.count ? errors.texts[0] : "");
	return config;
}

static void check_same_rules(const struct rules *a, const struct rules *b)
{
	ck_assert_uint_eq(rules_size(a), rules_size(b));
	if (a && b)
		ck_assert_mem_eq(a, b, rules_size(a));
}

START_TEST(test_pack_and_unpack)
{
	struct error_list errors = {0};
	struct config *config = rich_config(), *again;
	size_t size = 0;
	char *bytes = config_pack(config, &size);

	ck_assert_ptr_nonnull(bytes);
	again = config_unpack(bytes, size, &errors);
	ck_assert_msg(again != NULL, "%s", errors.count ? errors.texts[0] : "");
	check_same(config, again);
	for (size_t i = 0; i < config->service_count; i++) {
		const struct service_config *a = &config->services[i], *b = &again->services[i];
		char *one = config_fingerprint(a), *two = config_fingerprint(b);

		ck_assert_str_eq(one, two);
		ck_assert_uint_eq(a->listen.count, b->listen.count);
		for (size_t j = 0; j < a->listen.count; j++) {
			const struct listen_on *x = &a->addresses[j], *y = &b->addresses[j];

			ck_assert_uint_eq(x->endpoint_count, y->endpoint_count);
			for (size_t k = 0; k < x->endpoint_count; k++)
				ck_assert(endpoint_equal(&x->endpoints[k], &y->endpoints[k]));
		}
		check_same_rules(a->allow_rules, b->allow_rules);
		check_same_rules(a->deny_rules, b->deny_rules);
		check_same_rules(a->proxy_rules, b->proxy_rules);
		free(one);
		free(two);
	}
	ck_assert_uint_eq(rules_count(again->services[2].allow_rules, RULE_IPV4), 2);
	ck_assert(rules_match_user(again->services[2].deny_rules, 12345, 1));
	free(bytes);
	config_free(config);
	config_free(again);
}
END_TEST

/* Takes bytes as they come, and looks at all there is when they are taken for a configuration. */
static bool try_bytes(const char *bytes, size_t size)
{
	struct error_list errors = {0};
	/* Of their own, so that a sanitizer sees a look beyond the end. */
	char *copy = memcpy(malloc(size ? size : 1), bytes, size);
	struct config *config = config_unpack(copy, size, &errors);
	bool taken = config != NULL;

	free(copy);
	if (config) {
		free(config_dump(config));
		for (size_t i = 0; i < config->service_count; i++)
			free(config_fingerprint(&config->services[i]));
		config_free(config);
	}
	error_list_free(&errors);
	return taken;
}

START_TEST(test_every_truncation)
{
	struct config *config = rich_config();
	size_t size;
	char *bytes = config_pack(config, &size);

	ck_assert(try_bytes(bytes, size));
	for (size_t n = 0; n < size; n++)
		ck_assert_msg(!try_bytes(bytes, n), "%zu of %zu bytes", n, size);
	free(bytes);
	config_free(config);
}
END_TEST

START_TEST(test_flipped_bytes)
{
	struct config *config = rich_config();
	unsigned seed = (unsigned)_i;
	size_t size;
	char *bytes = config_pack(config, &size), *copy = malloc(size);

	for (int i = 0; i < 2500; i++) {
		memcpy(copy, bytes, size);
		for (int n = rand_r(&seed) % 4; n >= 0; n--)
			copy[(size_t)rand_r(&seed) % size] ^= (char)(1 + rand_r(&seed) % 255);
		try_bytes(copy, size);
	}
	free(copy);
	free(bytes);
	config_free(config);
}
END_TEST

START_TEST(test_random_bytes)
{
	unsigned seed = 1;
	char bytes[512];

	for (int i = 0; i < 10000; i++) {
		size_t size = (size_t)rand_r(&seed) % sizeof(bytes);

		for (size_t n = 0; n < size; n++)
			bytes[n] = (char)(rand_r(&seed) % 4 ? 0 : rand_r(&seed));
		try_bytes(bytes, size);
	}
}
END_TEST

static Suite *config_pack_suite(void)
{
	Suite *suite = suite_create("config_pack");
	TCase *pack = tcase_create("pack");

	tcase_set_timeout(pack, 120);
	tcase_add_test(pack, test_pack_and_unpack);
	tcase_add_test(pack, test_every_truncation);
	tcase_add_loop_test(pack, test_flipped_bytes, 0, 4);
	tcase_add_test(pack, test_random_bytes);
	suite_add_tcase(suite, pack);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(config_pack_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
