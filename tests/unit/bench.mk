# SPDX-License-Identifier: ISC
if WITH_TESTS
bench_tests = tests/unit/test_bench tests/unit/test_bench_exchange
check_PROGRAMS += $(bench_tests)
TESTS += $(bench_tests)

tests_unit_test_bench_SOURCES = tests/unit/test_bench.c
tests_unit_test_bench_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_bench_LDADD = libbench.la libboard.la libbase.la $(CHECK_LIBS)

tests_unit_test_bench_exchange_SOURCES = tests/unit/test_bench_exchange.c
tests_unit_test_bench_exchange_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_bench_exchange_LDADD = libbench.la libboard.la libbase.la $(CHECK_LIBS)
endif
