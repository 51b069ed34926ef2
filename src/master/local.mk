# SPDX-License-Identifier: ISC
sbin_PROGRAMS += preforkd
noinst_LTLIBRARIES += libmaster.la
# Apart from main.c, so that the tests can link it.
libmaster_la_SOURCES = \
	src/master/assemble.c \
	src/master/crew.c src/master/crew.h \
	src/master/listener.c src/master/listener.h \
	src/master/load.c src/master/load.h \
	src/master/loader.c src/master/loader.h \
	src/master/master.c src/master/master.h \
	src/master/notify.c src/master/notify.h \
	src/master/pool.c src/master/pool.h \
	src/master/reap.c \
	src/master/reload.c src/master/reload.h \
	src/master/signals.c src/master/signals.h \
	src/master/spawn.c \
	src/master/transaction.c src/master/transaction.h
libmaster_la_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS)
preforkd_SOURCES = src/master/main.c
preforkd_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS)
preforkd_LDADD = libmaster.la libconfig.la libworker.la libhandlers.la libboard.la libbase.la \
	$(SYSTEMD_LIBS) $(CONFUSE_LIBS) $(SECCOMP_LIBS)
