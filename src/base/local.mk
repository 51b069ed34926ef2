# SPDX-License-Identifier: ISC
noinst_LTLIBRARIES += libbase.la
libbase_la_SOURCES = \
	src/base/address.c src/base/address.h \
	src/base/address_resolve.c src/base/address_scheme.h \
	src/base/endpoint.c \
	src/base/error.c src/base/error.h \
	src/base/fd.c src/base/fd.h \
	src/base/histogram.c src/base/histogram.h \
	src/base/hot.h \
	src/base/journal.c src/base/journal.h \
	src/base/log.c src/base/log.h \
	src/base/log_escape.c src/base/log_escape.h \
	src/base/log_limit.c \
	src/base/mem.c src/base/mem.h \
	src/base/messages.def src/base/messages.h \
	src/base/parse.c src/base/parse.h \
	src/base/process.c src/base/process.h \
	src/base/rule_parse.c \
	src/base/rules.c src/base/rules.h \
	src/base/siphash.c src/base/siphash.h \
	src/base/socket_diag.c src/base/socket_diag.h \
	src/base/title.c src/base/title.h
