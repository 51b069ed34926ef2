# SPDX-License-Identifier: ISC
include tests/unit/local.mk
include tests/unit/handlers.mk
include tests/unit/bench.mk
include tests/unit/core.mk
include tests/unit/status.mk
include tests/unit/erlang.mk
include tests/unit/top.mk
include tests/unit/view.mk
include tests/loss/local.mk
include tests/upgrade/local.mk
include tests/modules/local.mk
include tests/programs/local.mk
include tests/fuzz/local.mk

# For every test, in the source tree, in build/ and in distcheck's read-only copy.
AM_TESTS_ENVIRONMENT = \
	srcdir='$(abs_top_srcdir)'; SRCDIR='$(abs_top_srcdir)'; BUILDDIR='$(abs_top_builddir)'; \
	export srcdir SRCDIR BUILDDIR;

dist_check_SCRIPTS += tests/layers tests/blackbox.sh tests/machine.sh
TESTS += tests/layers tests/blackbox.sh
EXTRA_DIST += tests/blackbox tests/import tests/machine .clang-tidy .ci/run

check-local:
	$(AM_V_at)$(top_srcdir)/tests/layers --self-test

# The unit tests (those of TESTS that are programs) under valgrind. Check forks for every test, and
# valgrind goes along: an error or a leak ends the child with 99, which Check reports.
VALGRIND = valgrind
VALGRINDFLAGS = --quiet --error-exitcode=99 \
	--leak-check=full --errors-for-leak-kinds=definite
check-valgrind: all
	@tests=; for t in $(TESTS); do \
	  case ' $(check_PROGRAMS) ' in *" $$t "*) tests="$$tests $$t" ;; esac; \
	done; \
	CK_TIMEOUT_MULTIPLIER=20 $(MAKE) $(AM_MAKEFLAGS) check TESTS="$$tests" \
	  LOG_COMPILER='$(VALGRIND)' LOG_FLAGS='$(VALGRINDFLAGS)'
.PHONY: check-valgrind

# What an interpreter left in a folder that EXTRA_DIST copies whole.
dist-hook:
	find '$(distdir)/tests' -depth \( -name __pycache__ -o -name .pytest_cache \) \
	  -exec rm -rf {} \;
