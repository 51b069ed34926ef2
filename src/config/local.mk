# SPDX-License-Identifier: ISC
noinst_LTLIBRARIES += libconfig.la
libconfig_la_SOURCES = \
	src/config/build.c src/config/build.h \
	src/config/check.c \
	src/config/check_access.c \
	src/config/check_pool.c \
	src/config/config.h \
	src/config/dump.c \
	src/config/entries.c src/config/entries.h \
	src/config/options.c src/config/options.h \
	src/config/pack.c \
	src/config/passed.h \
	src/config/program.c src/config/program.h \
	src/config/read.c \
	src/config/resolve.c \
	src/config/scan.c src/config/scan.h \
	src/config/schema.c src/config/schema.h \
	src/config/types.c src/config/types.h \
	src/config/variables.c src/config/variables.h
libconfig_la_CFLAGS = $(AM_CFLAGS) $(CONFUSE_CFLAGS)
