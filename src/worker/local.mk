# SPDX-License-Identifier: ISC
noinst_LTLIBRARIES += libworker.la
libworker_la_SOURCES = \
	src/worker/become.c \
	src/worker/connections.c \
	src/worker/datagrams.c \
	src/worker/guard.c src/worker/guard.h \
	src/worker/job.h \
	src/worker/loop.c src/worker/loop.h \
	src/worker/sandbox.c src/worker/sandbox.h \
	src/worker/stop.c src/worker/stop.h \
	src/worker/traffic.c src/worker/traffic.h \
	src/worker/worker.c src/worker/worker.h
libworker_la_CFLAGS = $(AM_CFLAGS) $(SECCOMP_CFLAGS)
