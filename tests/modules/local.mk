# SPDX-License-Identifier: ISC
# Modules for the tests, and the examples built as modules: in tests/modules/.libs/NAME.so. A -rpath
# makes libtool build a shared object of a library that is not installed. Their flags are not
# AM_LDFLAGS, which hold the -pie of programs.
test_module_flags = -module -avoid-version -shared -rpath /nowhere

check_LTLIBRARIES += \
	tests/modules/count.la \
	tests/modules/crash_open.la \
	tests/modules/crash_serve.la \
	tests/modules/env.la \
	tests/modules/exit_enter.la \
	tests/modules/gate.la \
	tests/modules/hello.la \
	tests/modules/hoard.la \
	tests/modules/no_symbol.la \
	tests/modules/nothing.la \
	tests/modules/open_fails.la \
	tests/modules/opened.la \
	tests/modules/shortage.la \
	tests/modules/slow_open.la \
	tests/modules/stay.la \
	tests/modules/upper.la \
	tests/modules/wrong_abi.la

tests_modules_count_la_SOURCES = examples/count.c
tests_modules_count_la_LDFLAGS = $(test_module_flags)
tests_modules_crash_open_la_SOURCES = tests/modules/crash_open.c
tests_modules_crash_open_la_LDFLAGS = $(test_module_flags)
tests_modules_crash_serve_la_SOURCES = tests/modules/crash_serve.c
tests_modules_crash_serve_la_LDFLAGS = $(test_module_flags)
tests_modules_env_la_SOURCES = tests/modules/env.c
tests_modules_env_la_LDFLAGS = $(test_module_flags)
tests_modules_exit_enter_la_SOURCES = tests/modules/exit_enter.c
tests_modules_exit_enter_la_LDFLAGS = $(test_module_flags)
tests_modules_gate_la_SOURCES = tests/modules/gate.c
tests_modules_gate_la_LDFLAGS = $(test_module_flags)
tests_modules_hello_la_SOURCES = examples/hello.c
tests_modules_hello_la_LDFLAGS = $(test_module_flags)
tests_modules_hoard_la_SOURCES = tests/modules/hoard.c
tests_modules_hoard_la_LDFLAGS = $(test_module_flags)
tests_modules_no_symbol_la_SOURCES = tests/modules/no_symbol.c
tests_modules_no_symbol_la_LDFLAGS = $(test_module_flags)
tests_modules_nothing_la_SOURCES = tests/modules/nothing.c
tests_modules_nothing_la_LDFLAGS = $(test_module_flags)
tests_modules_open_fails_la_SOURCES = tests/modules/open_fails.c
tests_modules_open_fails_la_LDFLAGS = $(test_module_flags)
tests_modules_opened_la_SOURCES = tests/modules/opened.c
tests_modules_opened_la_LDFLAGS = $(test_module_flags)
tests_modules_shortage_la_SOURCES = tests/modules/shortage.c
tests_modules_shortage_la_CPPFLAGS = -D_GNU_SOURCE
tests_modules_shortage_la_CFLAGS = $(WARN_CFLAGS) $(HARDEN_CFLAGS)
tests_modules_shortage_la_LDFLAGS = $(test_module_flags)
tests_modules_stay_la_SOURCES = tests/modules/stay.c
tests_modules_stay_la_LDFLAGS = $(test_module_flags)
tests_modules_slow_open_la_SOURCES = tests/modules/slow_open.c
tests_modules_slow_open_la_LDFLAGS = $(test_module_flags)
tests_modules_upper_la_SOURCES = examples/upper.c
tests_modules_upper_la_LDFLAGS = $(test_module_flags)
tests_modules_wrong_abi_la_SOURCES = tests/modules/wrong_abi.c
tests_modules_wrong_abi_la_LDFLAGS = $(test_module_flags)
