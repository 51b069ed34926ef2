/* SPDX-License-Identifier: ISC */
/* Configurations to try. */
#ifndef TEST_CONFIG_H
#define TEST_CONFIG_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(*(array))))

static inline struct entry *add(struct entries *e, enum entry_scope scope, const char *key,
				const char *value)
{
	struct entry *entry = entries_add(e, scope, "test.conf", (int)e->count + 1, key);

	if (value)
		entry_add_value(entry, value);
	return entry;
}

static inline void add_service(struct entries *e, const char *name, const char *address)
{
	entries_add_service(e, name, "test.conf", (int)e->count + 1);
	add(e, ENTRY_SERVICE, "listen", address);
	add(e, ENTRY_SERVICE, "builtin", "echo");
}

/* What a file can hold in quotes, at its worst. */
static const char *const texts[] = {
	"",
	"plain",
	" blanks at both ends ",
	"'single'",
	"\"double\"",
	"\\",
	"\\\\\\",
	"\\'",
	"back\\nslash",
	"\n",
	"two\nlines\n",
	"\ttab\r",
	"# no comment",
	"// no comment",
	"/* no comment",
	"{ } = ( ) , += +",
	"${HOME} $HOME `id`",
	"*",
	"\xc3\xa4\xf0\x9f\x90\xa7 \xff\xfe",
	"\001\002\033[31m\177",
};

/* One that is there, with each text as an argument. */
static inline void add_programs(struct entries *e)
{
	struct entry *program, *environment;

	entries_add_service(e, "exec", "test.conf", 101);
	add(e, ENTRY_SERVICE, "listen", "unix://@test_config_exec");
	program = add(e, ENTRY_SERVICE, "exec", "/bin/cat");
	for (int i = 0; i < COUNT(texts); i++)
		entry_add_value(program, texts[i]);
	environment = add(e, ENTRY_SERVICE, "environment", "EMPTY=");
	entry_add_value(environment, "_text1='\"\\ ${HOME}\n#=\t");
	add(e, ENTRY_SERVICE, "user", "0");
	add(e, ENTRY_SERVICE, "prestart", "true");
	add(e, ENTRY_SERVICE, "stderr", "client");
	add(e, ENTRY_SERVICE, "connection_timeout", "90s");
	entries_add_service(e, "acceptor", "test.conf", 102);
	add(e, ENTRY_SERVICE, "listen", "unix://@test_config_acceptor");
	program = add(e, ENTRY_SERVICE, "acceptor", "/bin/cat");
	entry_add_value(program, "-n");
	add(e, ENTRY_SERVICE, "pass_as", "stdin");
	add(e, ENTRY_SERVICE, "stop_signal", "SIGQUIT");
	add(e, ENTRY_OPTION, "ready", "notify");
}

/* Of every kind, for a service that listens on Unix sockets and others. */
static inline void add_access(struct entries *e)
{
	struct entry *allow = add(e, ENTRY_SERVICE, "allow", "10.0.0.0/8");

	entry_add_value(allow, "::FFFF:192.0.2.1");
	entry_add_value(allow, "2001:DB8::/32");
	entry_add_value(allow, "uid:0");
	entry_add_value(allow, "gid:4294967294");
	entry_add_value(add(e, ENTRY_SERVICE, "deny", "10.0.0.1"), "uid:12345");
	add(e, ENTRY_SERVICE, "proxy_protocol", "require");
	entry_add_value(add(e, ENTRY_SERVICE, "proxy_from", "192.0.2.7"), "gid:0");
}

/* Every kind of key; the texts where any text may stand. */
static inline struct entries *rich_entries(void)
{
	struct entries *e = entries_new();
	struct entry *listen;

	add(e, ENTRY_GLOBAL, "log_level", "debug");
	add(e, ENTRY_GLOBAL, "idle_timeout", "90s");
	add_service(e, "one", "tcp://127.0.0.1:0");
	add(e, ENTRY_SERVICE, "workers", "7");
	add(e, ENTRY_SERVICE, "workers_max", "77");
	add(e, ENTRY_SERVICE, "recycle_memory", "64M");
	add(e, ENTRY_SERVICE, "per_source", "5");
	add(e, ENTRY_SERVICE, "rate", "100/s");
	add(e, ENTRY_SERVICE, "rate_per_source", "60/h");
	add(e, ENTRY_SERVICE, "queue_timeout", "2500ms");
	add(e, ENTRY_SERVICE, "busy_message", "'\"\\ ${HOME}\r\n#");
	add(e, ENTRY_SERVICE, "recycle_after", "1000000");
	add(e, ENTRY_SERVICE, "nice", "-5");
	add(e, ENTRY_SERVICE, "limit_as", "3G");
	add(e, ENTRY_SERVICE, "umask", "0077");
	add(e, ENTRY_SERVICE, "sandbox", "off");
	add(e, ENTRY_SERVICE, "nodelay", "no");
	for (int i = 0; i < COUNT(texts); i++) {
		char key[16];

		snprintf(key, sizeof(key), "text%d", i);
		add(e, ENTRY_OPTION, key, texts[i]);
	}
	add_service(e, "two.-_", "udp://127.0.0.1:7007");
	add(e, ENTRY_SERVICE, "directory", "/tmp/'\"\\ ${HOME}\n#");
	entries_add_service(e, "three", "test.conf", 99);
	listen = add(e, ENTRY_SERVICE, "listen", "unix:///tmp/test_config/one");
	entry_add_value(listen, "unix://@two'\\\"");
	entry_add_value(listen, "tcp6://[::1]:7008");
	add(e, ENTRY_SERVICE, "module", "/nowhere/'\\\n\".so");
	add_access(e);
	add_service(e, "off", "tcp://127.0.0.1:7009");
	add(e, ENTRY_SERVICE, "enabled", "false");
	add_programs(e);
	return e;
}

static inline struct config *build(struct entries *entries)
{
	struct error_list errors = {0};
	struct config *config = config_build(entries, &errors);

	ck_assert_msg(errors.count == 0, "%s", errors.count ? errors.texts[0] : "");
	ck_assert_ptr_nonnull(config);
	return config;
}

static inline void check_same(const struct config *a, const struct config *b)
{
	char *one = config_dump(a), *two = config_dump(b);

	ck_assert_str_eq(one, two);
	ck_assert_uint_eq(a->service_count, b->service_count);
	free(one);
	free(two);
}

#endif
