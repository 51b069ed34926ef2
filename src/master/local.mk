# SPDX-License-Identifier: ISC
sbin_PROGRAMS += preforkd
noinst_LTLIBRARIES += libmaster.la
# Apart from main.c, so that the tests can link it.
libmaster_la_SOURCES = \
	src/master/admission.c src/master/admission.h \
	src/master/assemble.c \
	src/master/child.c src/master/child.h \
	src/master/commit.c \
	src/master/copy.c src/master/copy.h \
	src/master/copy_notify.c src/master/copy_notify.h \
	src/master/crew.c src/master/crew.h \
	src/master/crew_listeners.c \
	src/master/crew_load.c src/master/crew_load.h \
	src/master/crew_make.c \
	src/master/crew_size.c \
	src/master/idle.c src/master/idle.h \
	src/master/intent.c src/master/intent.h \
	src/master/leave.c \
	src/master/left_over.c src/master/left_over.h \
	src/master/listener.c src/master/listener.h \
	src/master/listener_drain.c \
	src/master/listener_settings.c \
	src/master/load.c src/master/load.h \
	src/master/master.c src/master/master.h \
	src/master/notify.c src/master/notify.h \
	src/master/outbox.c src/master/outbox.h \
	src/master/overdue.c \
	src/master/passed.c src/master/passed.h \
	src/master/pool.c src/master/pool.h \
	src/master/pool_grow.c src/master/pool_look.h \
	src/master/program.c src/master/program.h \
	src/master/queue_watch.c src/master/queue_watch.h \
	src/master/reap.c \
	src/master/reload.c src/master/reload.h \
	src/master/run.c \
	src/master/signals.c src/master/signals.h \
	src/master/spawn.c \
	src/master/state.h src/master/state_adopt.c src/master/state_lines.h \
	src/master/state_pools.c src/master/state_save.c \
	src/master/strangers.c src/master/strangers.h \
	src/master/store.c src/master/store.h \
	src/master/transaction.c src/master/transaction.h \
	src/master/unix_queue.c src/master/unix_queue.h \
	src/master/upgrade.c src/master/upgrade.h \
	src/master/verdict.c src/master/verdict.h
libmaster_la_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS)
preforkd_SOURCES = src/master/main.c
preforkd_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS)
# builtin_status.so asks for it.
preforkd_LDFLAGS = $(AM_LDFLAGS) -Wl,--export-dynamic-symbol=handler_board
preforkd_LDADD = libmaster.la libconfig.la libworker.la libhandlers.la libboard.la libbase.la \
	$(SYSTEMD_LIBS) $(CONFUSE_LIBS) $(SECCOMP_LIBS)
