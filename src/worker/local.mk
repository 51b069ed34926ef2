# SPDX-License-Identifier: ISC
noinst_LTLIBRARIES += libworker.la
libworker_la_SOURCES = \
	src/worker/acceptor.c src/worker/acceptor.h \
	src/worker/admit.c src/worker/admit.h \
	src/worker/become.c \
	src/worker/closing.c src/worker/closing.h \
	src/worker/connections.c \
	src/worker/datagrams.c \
	src/worker/guard.c src/worker/guard.h \
	src/worker/job.h \
	src/worker/lingering.c src/worker/lingering.h \
	src/worker/loop.c src/worker/loop.h \
	src/worker/memory.c src/worker/memory.h \
	src/worker/overtime.c src/worker/overtime.h \
	src/worker/prestart.c src/worker/prestart.h \
	src/worker/prestart_program.c src/worker/prestart_program.h \
	src/worker/prestart_session.c src/worker/prestart_session.h \
	src/worker/program.h \
	src/worker/program_child.c \
	src/worker/program_client.c src/worker/program_client.h \
	src/worker/program_datagram.c src/worker/program_datagram.h \
	src/worker/program_environment.c \
	src/worker/program_errand.c src/worker/program_errand.h \
	src/worker/program_group.c \
	src/worker/program_loop.c \
	src/worker/program_start.c src/worker/program_start.h \
	src/worker/program_stderr.c \
	src/worker/proxy.c src/worker/proxy.h \
	src/worker/proxy_receive.c \
	src/worker/queued.c src/worker/queued.h \
	src/worker/ready.c src/worker/ready.h \
	src/worker/refuse.c src/worker/refuse.h \
	src/worker/relay.c src/worker/relay.h \
	src/worker/sandbox.c src/worker/sandbox.h \
	src/worker/sources.c src/worker/sources.h \
	src/worker/sources_memory.c \
	src/worker/sources_queue.c src/worker/sources_table.h \
	src/worker/stop.c src/worker/stop.h \
	src/worker/traffic.c src/worker/traffic.h \
	src/worker/turns.c src/worker/turns.h \
	src/worker/waiting.c src/worker/waiting.h \
	src/worker/worker.c src/worker/worker.h
libworker_la_CFLAGS = $(AM_CFLAGS) $(SECCOMP_CFLAGS)
