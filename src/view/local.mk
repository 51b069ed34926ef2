# SPDX-License-Identifier: ISC
noinst_LTLIBRARIES += libview.la
libview_la_SOURCES = \
	src/view/advice.c src/view/advice.h \
	src/view/erlang.c src/view/erlang.h \
	src/view/json.c src/view/json.h \
	src/view/openmetrics.c src/view/openmetrics.h \
	src/view/queues.c src/view/queues.h \
	src/view/rates.c src/view/rates.h \
	src/view/snapshot.c src/view/snapshot.h
libview_la_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
