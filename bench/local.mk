# SPDX-License-Identifier: ISC
# Not built by `make`: `make bench-programs`, then bench/run (bench/README).
EXTRA_PROGRAMS = bench/bare bench/burst bench/load bench/lookups bench/tiny
bench_bare_SOURCES = bench/bare.c
bench_burst_SOURCES = bench/burst.c
bench_load_SOURCES = bench/load.c
bench_load_LDADD = -lpthread
bench_lookups_SOURCES = bench/lookups.c
bench_lookups_LDADD = libbase.la
bench_tiny_SOURCES = bench/tiny.c
# Without the C library's start nothing sets up what the hardening and the sanitizers need.
bench_tiny_CFLAGS = $(WARN_CFLAGS) -fno-stack-protector -fno-sanitize=all
bench_tiny_LDFLAGS = -all-static -nostartfiles
CLEANFILES += $(EXTRA_PROGRAMS)
EXTRA_DIST += bench/README bench/accuracy bench/journal bench/run bench/upgrade \
	bench/lib/__init__.py bench/lib/common.py bench/lib/cpu.py bench/lib/kinds.py \
	bench/lib/netserver.pl bench/lib/own.py bench/lib/peers.py bench/lib/plots.py \
	bench/lib/process.py bench/lib/results.py bench/lib/rounds.py bench/lib/special.py \
	bench/lib/watch.py \
	bench/RESULTS/README.md bench/RESULTS/results.json bench/RESULTS/burst.svg \
	bench/RESULTS/cpu.svg bench/RESULTS/latency.svg bench/RESULTS/memory.svg \
	bench/RESULTS/ratio.svg

bench-programs: bench/bare$(EXEEXT) bench/burst$(EXEEXT) bench/load$(EXEEXT) bench/lookups$(EXEEXT) bench/tiny$(EXEEXT)
.PHONY: bench-programs
