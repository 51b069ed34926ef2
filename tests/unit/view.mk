# SPDX-License-Identifier: ISC
if WITH_TESTS
view_tests = \
	tests/unit/test_histogram \
	tests/unit/test_board_times \
	tests/unit/test_queues \
	tests/unit/test_rates
check_PROGRAMS += $(view_tests)
TESTS += $(view_tests)

tests_unit_test_histogram_SOURCES = tests/unit/test_histogram.c
tests_unit_test_histogram_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_histogram_LDADD = libbase.la $(CHECK_LIBS) -lm

tests_unit_test_board_times_SOURCES = tests/unit/test_board_times.c tests/unit/test_board.h
tests_unit_test_board_times_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_board_times_LDADD = libboard.la libbase.la $(CHECK_LIBS) -lm

tests_unit_test_queues_SOURCES = tests/unit/test_queues.c
tests_unit_test_queues_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_queues_LDADD = libview.la libboard.la libbase.la $(CHECK_LIBS) -lm

tests_unit_test_rates_SOURCES = tests/unit/test_rates.c
tests_unit_test_rates_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_rates_LDADD = libview.la libboard.la libbase.la $(CHECK_LIBS) -lm
endif
