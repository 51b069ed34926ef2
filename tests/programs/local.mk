# SPDX-License-Identifier: ISC
# Programs that serve clients in the tests of exec. Never with the sanitizers, which take more
# address space than a service may have.
check_PROGRAMS += tests/programs/facts

tests_programs_facts_SOURCES = tests/programs/facts.c
tests_programs_facts_CFLAGS = $(WARN_CFLAGS) $(HARDEN_CFLAGS)

EXTRA_DIST += tests/programs/acceptor.py
