# SPDX-License-Identifier: ISC
noinst_LTLIBRARIES += libhandlers.la
libhandlers_la_SOURCES = \
	src/handlers/board_access.c src/handlers/board_access.h \
	src/handlers/builtin.c src/handlers/builtin.h \
	src/handlers/builtin_agent.c \
	src/handlers/builtin_chargen.c \
	src/handlers/builtin_daytime.c \
	src/handlers/builtin_discard.c \
	src/handlers/builtin_echo.c \
	src/handlers/builtin_message.c \
	src/handlers/builtin_qotd.c \
	src/handlers/builtin_time.c \
	src/handlers/instance.c src/handlers/instance.h \
	src/handlers/module.c src/handlers/module.h \
	src/handlers/table.c src/handlers/table.h
libhandlers_la_LIBADD = libbase.la

# The built-in that needs libmicrohttpd: a module, so that no other worker carries that.
module_LTLIBRARIES =
EXTRA_DIST += src/handlers/status/embed src/handlers/status/page.html \
	src/handlers/status/page.css src/handlers/status/page.js
if WITH_STATUS
module_LTLIBRARIES += builtin_status.la
noinst_LTLIBRARIES += libstatus.la
# Apart from the handler itself, so that the tests can link it.
libstatus_la_SOURCES = \
	src/handlers/status/answer.c src/handlers/status/answer.h \
	src/handlers/status/health.c src/handlers/status/health.h \
	src/handlers/status/html.c src/handlers/status/html.h \
	src/handlers/status/page.c src/handlers/status/page.h \
	src/handlers/status/page_ledger.c \
	src/handlers/status/page_pools.c \
	src/handlers/status/page_workers.c
nodist_libstatus_la_SOURCES = src/handlers/status/page_parts.h
libstatus_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_builddir)/src
builtin_status_la_SOURCES = \
	src/handlers/builtin.c \
	src/handlers/status/handler.c \
	src/handlers/status/http.c src/handlers/status/http.h
builtin_status_la_CFLAGS = $(AM_CFLAGS) $(MICROHTTPD_CFLAGS)
# nodelete: the libraries that come with it were never meant to be loaded again and again.
builtin_status_la_LDFLAGS = -export-symbols-regex '^preforkd_handler$$' -module -avoid-version -shared \
	-Wl,--as-needed -Wl,-z,relro -Wl,-z,now -Wl,-z,nodelete $(SANITIZE_CFLAGS)
builtin_status_la_LIBADD = libstatus.la libview.la libboard.la libbase.la \
	$(MICROHTTPD_LIBS) $(JANSSON_LIBS) -lm

page_sources = $(srcdir)/src/handlers/status/page.html $(srcdir)/src/handlers/status/page.css \
	$(srcdir)/src/handlers/status/page.js
src/handlers/status/page_parts.h: $(srcdir)/src/handlers/status/embed $(page_sources)
	$(AM_V_GEN)$(MKDIR_P) src/handlers/status && \
	  $(SHELL) $(srcdir)/src/handlers/status/embed $(page_sources) >$@.tmp && mv $@.tmp $@
$(libstatus_la_OBJECTS): src/handlers/status/page_parts.h
BUILT_SOURCES = src/handlers/status/page_parts.h
CLEANFILES += src/handlers/status/page_parts.h
endif
