# SPDX-License-Identifier: ISC
noinst_LTLIBRARIES += libhandlers.la
libhandlers_la_SOURCES = \
	src/handlers/builtin.c src/handlers/builtin.h \
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
