# SPDX-License-Identifier: ISC
if WITH_TESTS
top_tests = \
	tests/unit/test_top_model \
	tests/unit/test_top_screen \
	tests/unit/test_top_text
check_PROGRAMS += $(top_tests)
TESTS += $(top_tests)

top_libs = libtop.la libview.la libboard.la libbase.la $(CHECK_LIBS) -lm

tests_unit_test_top_model_SOURCES = tests/unit/test_top_model.c tests/unit/test_top.h src/ctl/board.c
tests_unit_test_top_model_CFLAGS = $(AM_CFLAGS) $(NCURSES_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_top_model_LDADD = $(top_libs)

tests_unit_test_top_screen_SOURCES = tests/unit/test_top_screen.c tests/unit/test_top.h src/ctl/board.c
tests_unit_test_top_screen_CFLAGS = $(AM_CFLAGS) $(NCURSES_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_top_screen_LDADD = $(top_libs)

tests_unit_test_top_text_SOURCES = tests/unit/test_top_text.c
tests_unit_test_top_text_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_top_text_LDADD = libtop.la libbase.la $(CHECK_LIBS) -lm
endif
