# SPDX-License-Identifier: ISC
bin_PROGRAMS += preforkctl
preforkctl_SOURCES = \
	src/ctl/board.c \
	src/ctl/call.c \
	src/ctl/client.c src/ctl/client.h \
	src/ctl/ctl.h \
	src/ctl/import.c src/ctl/import.h \
	src/ctl/import_arena.c src/ctl/import_arena.h \
	src/ctl/import_draft.c \
	src/ctl/import_here.c \
	src/ctl/import_hosts.c \
	src/ctl/import_inetd.c src/ctl/import_inetd.h \
	src/ctl/import_inetd_line.c \
	src/ctl/import_limits.c \
	src/ctl/import_name.c \
	src/ctl/import_print.c \
	src/ctl/import_program.c \
	src/ctl/import_source.c \
	src/ctl/import_unit.c src/ctl/import_unit.h \
	src/ctl/import_unit_access.c \
	src/ctl/import_unit_environment.c \
	src/ctl/import_unit_program.c \
	src/ctl/import_unit_read.c \
	src/ctl/import_unit_service.c \
	src/ctl/import_unit_socket.c \
	src/ctl/import_unit_text.c \
	src/ctl/import_xinetd.c src/ctl/import_xinetd.h \
	src/ctl/import_xinetd_access.c \
	src/ctl/import_xinetd_read.c \
	src/ctl/import_xinetd_rest.c \
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
