# SPDX-License-Identifier: ISC
# What bench is made of, for its unit tests too.
noinst_LTLIBRARIES += libbench.la
libbench_la_SOURCES = \
	src/ctl/bench.h \
	src/ctl/bench_client.c src/ctl/bench_client.h \
	src/ctl/bench_connect.c \
	src/ctl/bench_exchange.c src/ctl/bench_exchange.h \
	src/ctl/bench_http.c src/ctl/bench_http.h \
	src/ctl/bench_json.c \
	src/ctl/bench_load.c \
	src/ctl/bench_loop.c \
	src/ctl/bench_options.c src/ctl/bench_options.h \
	src/ctl/bench_report.c \
	src/ctl/bench_stats.c \
	src/ctl/bench_target.c \
	src/ctl/bench_time.c
libbench_la_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
libbench_la_LIBADD = $(JANSSON_LIBS) -lm

# What top shows, without a terminal.
noinst_LTLIBRARIES += libtop.la
libtop_la_SOURCES = \
	src/ctl/top_canvas.c src/ctl/top_canvas.h \
	src/ctl/top_columns.c src/ctl/top_columns.h \
	src/ctl/top_help.c \
	src/ctl/top_history.c \
	src/ctl/top_keys.c src/ctl/top_keys.h \
	src/ctl/top_model.c src/ctl/top_model.h \
	src/ctl/top_panel.c \
	src/ctl/top_rows.c \
	src/ctl/top_screen.c src/ctl/top_screen.h \
	src/ctl/top_table.c \
	src/ctl/top_text.c src/ctl/top_text.h
libtop_la_CFLAGS = $(AM_CFLAGS) $(NCURSES_CFLAGS)

bin_PROGRAMS += preforkctl
preforkctl_SOURCES = \
	src/ctl/advise.c src/ctl/advise.h \
	src/ctl/advise_json.c \
	src/ctl/advise_look.c \
	src/ctl/advise_print.c \
	src/ctl/bench.c \
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
	src/ctl/main.c \
	src/ctl/metrics.c \
	src/ctl/options.c \
	src/ctl/order.c src/ctl/order.h \
	src/ctl/recycle.c \
	src/ctl/reload.c \
	src/ctl/status.c \
	src/ctl/stop.c \
	src/ctl/stream.c \
	src/ctl/table.c src/ctl/table.h \
	src/ctl/top.c \
	src/ctl/top_draw.c src/ctl/top_draw.h \
	src/ctl/upgrade.c \
	src/ctl/verbs.c
preforkctl_CFLAGS = $(AM_CFLAGS) $(NCURSES_CFLAGS)
preforkctl_LDADD = libbench.la libtop.la libview.la libboard.la libbase.la $(JANSSON_LIBS) \
	$(NCURSES_LIBS) -lm
