# SPDX-License-Identifier: ISC
if WITH_TESTS
check_PROGRAMS += tests/unit/test_erlang tests/unit/test_advice
TESTS += tests/unit/test_erlang tests/unit/test_advice

tests_unit_test_erlang_SOURCES = tests/unit/test_erlang.c
tests_unit_test_erlang_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_erlang_LDADD = libview.la $(CHECK_LIBS) -lm

tests_unit_test_advice_SOURCES = tests/unit/test_advice.c
tests_unit_test_advice_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_advice_LDADD = libview.la libboard.la libbase.la $(CHECK_LIBS) -lm
endif
