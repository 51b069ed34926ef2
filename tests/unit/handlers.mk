# SPDX-License-Identifier: ISC
if WITH_TESTS
check_PROGRAMS += tests/unit/test_handlers
TESTS += tests/unit/test_handlers
tests_unit_test_handlers_SOURCES = \
	tests/unit/test_handlers.c tests/unit/test_handlers.h \
	tests/unit/test_handlers_builtin.c \
	tests/unit/test_handlers_message.c \
	tests/unit/test_handlers_module.c \
	tests/unit/test_handlers_qotd.c \
	tests/unit/test_handlers_serving.c
tests_unit_test_handlers_CPPFLAGS = $(AM_CPPFLAGS) \
	-DTEST_MODULES='"$(abs_top_builddir)/tests/modules/.libs"'
tests_unit_test_handlers_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_handlers_LDADD = libhandlers.la libboard.la libbase.la $(CHECK_LIBS)
endif
