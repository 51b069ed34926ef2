# SPDX-License-Identifier: ISC
bin_PROGRAMS += preforkctl
preforkctl_SOURCES = \
	src/ctl/board.c \
	src/ctl/call.c \
	src/ctl/client.c src/ctl/client.h \
	src/ctl/ctl.h \
	src/ctl/json.c src/ctl/json.h \
	src/ctl/main.c \
	src/ctl/options.c \
	src/ctl/order.c src/ctl/order.h \
	src/ctl/recycle.c \
	src/ctl/reload.c \
	src/ctl/snapshot.c src/ctl/snapshot.h \
	src/ctl/status.c \
	src/ctl/stop.c \
	src/ctl/stream.c \
	src/ctl/table.c src/ctl/table.h \
	src/ctl/upgrade.c \
	src/ctl/verbs.c
preforkctl_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
preforkctl_LDADD = libboard.la libbase.la $(JANSSON_LIBS)
