# SPDX-License-Identifier: ISC
noinst_LTLIBRARIES += libboard.la
libboard_la_SOURCES = \
	src/board/board.c src/board/board.h \
	src/board/fields.def \
	src/board/files.c \
	src/board/gauge.c src/board/gauge.h \
	src/board/layout.c src/board/layout.h \
	src/board/ledger.c \
	src/board/read.c src/board/read.h \
	src/board/read_ledger.c \
	src/board/seqlock.h \
	src/board/ticks.c src/board/ticks.h \
	src/board/write.c src/board/write.h
