# SPDX-License-Identifier: ISC
if WITH_TESTS
check_PROGRAMS += \
	tests/unit/test_base_address \
	tests/unit/test_base_endpoint \
	tests/unit/test_base_fd_error \
	tests/unit/test_base_journal \
	tests/unit/test_base_log \
	tests/unit/test_base_log_loss \
	tests/unit/test_base_parse \
	tests/unit/test_base_rules
TESTS += \
	tests/unit/test_base_address \
	tests/unit/test_base_endpoint \
	tests/unit/test_base_fd_error \
	tests/unit/test_base_journal \
	tests/unit/test_base_log \
	tests/unit/test_base_log_loss \
	tests/unit/test_base_parse \
	tests/unit/test_base_rules

tests_unit_test_base_address_SOURCES = tests/unit/test_base_address.c
tests_unit_test_base_address_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_base_address_LDADD = libbase.la $(CHECK_LIBS)

tests_unit_test_base_endpoint_SOURCES = tests/unit/test_base_endpoint.c
tests_unit_test_base_endpoint_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_base_endpoint_LDADD = libbase.la $(CHECK_LIBS)

tests_unit_test_base_fd_error_SOURCES = tests/unit/test_base_fd_error.c
tests_unit_test_base_fd_error_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_base_fd_error_LDADD = libbase.la $(CHECK_LIBS)

tests_unit_test_base_journal_SOURCES = tests/unit/test_base_journal.c tests/unit/test_base_journal.h
tests_unit_test_base_journal_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_base_journal_LDADD = libbase.la $(CHECK_LIBS)

tests_unit_test_base_log_SOURCES = tests/unit/test_base_log.c
tests_unit_test_base_log_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_base_log_LDADD = libbase.la $(CHECK_LIBS)

tests_unit_test_base_log_loss_SOURCES = tests/unit/test_base_log_loss.c tests/unit/test_base_journal.h
tests_unit_test_base_log_loss_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_base_log_loss_LDADD = libbase.la $(CHECK_LIBS)

tests_unit_test_base_parse_SOURCES = tests/unit/test_base_parse.c
tests_unit_test_base_parse_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_base_parse_LDADD = libbase.la $(CHECK_LIBS)

tests_unit_test_base_rules_SOURCES = tests/unit/test_base_rules.c
tests_unit_test_base_rules_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_base_rules_LDADD = libbase.la $(CHECK_LIBS)
endif
