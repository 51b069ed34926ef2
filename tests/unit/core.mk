# SPDX-License-Identifier: ISC
if WITH_TESTS
core_tests = \
	tests/unit/test_board \
	tests/unit/test_board_adopt \
	tests/unit/test_board_files \
	tests/unit/test_board_hostile \
	tests/unit/test_board_ledger \
	tests/unit/test_config \
	tests/unit/test_config_access \
	tests/unit/test_config_pack \
	tests/unit/test_copy \
	tests/unit/test_gauge \
	tests/unit/test_guard \
	tests/unit/test_intent \
	tests/unit/test_notify \
	tests/unit/test_outbox \
	tests/unit/test_overtime \
	tests/unit/test_passed \
	tests/unit/test_pool \
	tests/unit/test_pool_elastic \
	tests/unit/test_pool_health \
	tests/unit/test_proxy \
	tests/unit/test_proxy_receive \
	tests/unit/test_relay \
	tests/unit/test_reload_plan \
	tests/unit/test_scan \
	tests/unit/test_sources \
	tests/unit/test_waiting
check_PROGRAMS += $(core_tests)
TESTS += $(core_tests)

tests_unit_test_board_SOURCES = tests/unit/test_board.c tests/unit/test_board.h
tests_unit_test_board_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_board_LDADD = libboard.la libbase.la $(CHECK_LIBS)

tests_unit_test_board_adopt_SOURCES = tests/unit/test_board_adopt.c tests/unit/test_board.h
tests_unit_test_board_adopt_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_board_adopt_LDADD = libboard.la libbase.la $(CHECK_LIBS)

tests_unit_test_board_files_SOURCES = tests/unit/test_board_files.c tests/unit/test_board.h
tests_unit_test_board_files_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_board_files_LDADD = libboard.la libbase.la $(CHECK_LIBS)

tests_unit_test_board_hostile_SOURCES = tests/unit/test_board_hostile.c tests/unit/test_board.h
tests_unit_test_board_hostile_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_board_hostile_LDADD = libboard.la libbase.la $(CHECK_LIBS)

tests_unit_test_board_ledger_SOURCES = tests/unit/test_board_ledger.c tests/unit/test_board.h
tests_unit_test_board_ledger_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_board_ledger_LDADD = libboard.la libbase.la $(CHECK_LIBS)

tests_unit_test_config_SOURCES = tests/unit/test_config.c tests/unit/test_config.h
tests_unit_test_config_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_config_LDADD = libconfig.la libbase.la $(CONFUSE_LIBS) $(CHECK_LIBS)

tests_unit_test_config_access_SOURCES = tests/unit/test_config_access.c tests/unit/test_config.h
tests_unit_test_config_access_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_config_access_LDADD = libconfig.la libbase.la $(CONFUSE_LIBS) $(CHECK_LIBS)

tests_unit_test_config_pack_SOURCES = tests/unit/test_config_pack.c tests/unit/test_config.h
tests_unit_test_config_pack_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_config_pack_LDADD = libconfig.la libbase.la $(CONFUSE_LIBS) $(CHECK_LIBS)

tests_unit_test_copy_SOURCES = tests/unit/test_copy.c
tests_unit_test_copy_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_copy_LDADD = $(preforkd_LDADD) $(CHECK_LIBS)

tests_unit_test_gauge_SOURCES = tests/unit/test_gauge.c
tests_unit_test_gauge_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_gauge_LDADD = libboard.la libbase.la $(CHECK_LIBS)

tests_unit_test_guard_SOURCES = tests/unit/test_guard.c
tests_unit_test_guard_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_guard_LDADD = libworker.la libbase.la $(CHECK_LIBS)

tests_unit_test_intent_SOURCES = tests/unit/test_intent.c
tests_unit_test_intent_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_intent_LDADD = libmaster.la libbase.la $(SYSTEMD_LIBS) $(CHECK_LIBS)

tests_unit_test_notify_SOURCES = tests/unit/test_notify.c
tests_unit_test_notify_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_notify_LDADD = $(preforkd_LDADD) $(CHECK_LIBS)

tests_unit_test_outbox_SOURCES = tests/unit/test_outbox.c
tests_unit_test_outbox_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_outbox_LDADD = libmaster.la libbase.la $(SYSTEMD_LIBS) $(CHECK_LIBS)

tests_unit_test_overtime_SOURCES = tests/unit/test_overtime.c
tests_unit_test_overtime_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_overtime_LDADD = libworker.la libboard.la libbase.la $(SECCOMP_LIBS) $(CHECK_LIBS)

tests_unit_test_passed_SOURCES = tests/unit/test_passed.c
tests_unit_test_passed_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_passed_LDADD = libmaster.la libbase.la $(SYSTEMD_LIBS) $(CHECK_LIBS)

tests_unit_test_pool_SOURCES = tests/unit/test_pool.c
tests_unit_test_pool_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_pool_LDADD = libmaster.la $(CHECK_LIBS)

tests_unit_test_pool_elastic_SOURCES = tests/unit/test_pool_elastic.c \
	tests/unit/pool_simulation.c tests/unit/pool_simulation.h
tests_unit_test_pool_elastic_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_pool_elastic_LDADD = libmaster.la $(CHECK_LIBS)

tests_unit_test_pool_health_SOURCES = tests/unit/test_pool_health.c
tests_unit_test_pool_health_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_pool_health_LDADD = libmaster.la $(CHECK_LIBS)

tests_unit_test_proxy_SOURCES = tests/unit/test_proxy.c
tests_unit_test_proxy_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_proxy_LDADD = libworker.la libbase.la $(CHECK_LIBS)

tests_unit_test_proxy_receive_SOURCES = tests/unit/test_proxy_receive.c
tests_unit_test_proxy_receive_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_proxy_receive_LDADD = libworker.la libboard.la libbase.la $(SECCOMP_LIBS) $(CHECK_LIBS)

tests_unit_test_relay_SOURCES = tests/unit/test_relay.c
tests_unit_test_relay_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_relay_LDADD = libworker.la libboard.la libbase.la $(SECCOMP_LIBS) $(CHECK_LIBS)

tests_unit_test_reload_plan_SOURCES = tests/unit/test_reload_plan.c
tests_unit_test_reload_plan_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_reload_plan_LDADD = libmaster.la $(CHECK_LIBS)

tests_unit_test_scan_SOURCES = tests/unit/test_scan.c
tests_unit_test_scan_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_scan_LDADD = libconfig.la libbase.la $(CONFUSE_LIBS) $(CHECK_LIBS)

tests_unit_test_sources_SOURCES = tests/unit/test_sources.c
tests_unit_test_sources_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_sources_LDADD = libworker.la libboard.la libbase.la $(SECCOMP_LIBS) $(CHECK_LIBS)

tests_unit_test_waiting_SOURCES = tests/unit/test_waiting.c
tests_unit_test_waiting_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_waiting_LDADD = libworker.la libboard.la libbase.la $(SECCOMP_LIBS) $(CHECK_LIBS)
endif
