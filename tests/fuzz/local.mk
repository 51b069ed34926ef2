# SPDX-License-Identifier: ISC
# What clients send, and is parsed: each target with the files of its corpus. ./dev fuzz builds the
# same targets with libFuzzer.
fuzz_targets = \
	tests/fuzz/fuzz_log_escape \
	tests/fuzz/fuzz_peer \
	tests/fuzz/fuzz_proxy
check_PROGRAMS += $(fuzz_targets)
TESTS += $(fuzz_targets)

tests_fuzz_fuzz_log_escape_SOURCES = \
	tests/fuzz/fuzz.h tests/fuzz/fuzz_log_escape.c tests/fuzz/replay.c
tests_fuzz_fuzz_log_escape_LDADD = libbase.la

tests_fuzz_fuzz_peer_SOURCES = \
	tests/fuzz/fuzz.h tests/fuzz/fuzz_peer.c tests/fuzz/replay.c
tests_fuzz_fuzz_peer_LDADD = libworker.la libbase.la

tests_fuzz_fuzz_proxy_SOURCES = \
	tests/fuzz/fuzz.h tests/fuzz/fuzz_proxy.c tests/fuzz/replay.c
tests_fuzz_fuzz_proxy_LDADD = libworker.la libbase.la

EXTRA_DIST += tests/fuzz/corpus
