# SPDX-License-Identifier: ISC
# Not built by `make`: `make bench-programs`, then bench/run (bench/README).
EXTRA_PROGRAMS = bench/bare bench/load
bench_bare_SOURCES = bench/bare.c
bench_load_SOURCES = bench/load.c
bench_load_LDADD = -lpthread
CLEANFILES += $(EXTRA_PROGRAMS)
EXTRA_DIST += bench/README bench/journal bench/run bench/upgrade

bench-programs: bench/bare$(EXEEXT) bench/load$(EXEEXT)
.PHONY: bench-programs
