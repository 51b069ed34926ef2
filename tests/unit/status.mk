# SPDX-License-Identifier: ISC
if WITH_TESTS
check_PROGRAMS += tests/unit/test_openmetrics
TESTS += tests/unit/test_openmetrics
tests_unit_test_openmetrics_SOURCES = tests/unit/test_openmetrics.c tests/unit/test_view.h
tests_unit_test_openmetrics_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_openmetrics_LDADD = libview.la libboard.la libbase.la $(JANSSON_LIBS) $(CHECK_LIBS)

if WITH_STATUS
check_PROGRAMS += tests/unit/test_status
TESTS += tests/unit/test_status
tests_unit_test_status_SOURCES = tests/unit/test_status.c tests/unit/test_view.h
tests_unit_test_status_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_status_LDADD = libstatus.la libview.la libboard.la libbase.la $(JANSSON_LIBS) \
	$(CHECK_LIBS) -lm
endif
endif
