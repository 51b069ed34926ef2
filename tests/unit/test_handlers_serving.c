/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "test_handlers.h"

static const struct sockaddr_in peer = {
	.sin_family = AF_INET,
	.sin_port = __builtin_bswap16(4711),
	.sin_addr = {.s_addr = __builtin_bswap32(0xc0000201)},
};

const struct preforkd_setup no_options = {.service = "test"};
const int stream_types[2] = {SOCK_STREAM, SOCK_SEQPACKET};

void open_handler(struct handler_instance *instance, const char *name,
		  const struct preforkd_setup *setup)
{
	struct error err = {0};

	ck_assert_msg(handler_open(instance, name, NULL, setup, &err) == 0, "%s", err.text);
	if (instance->handler->enter)
		ck_assert_int_eq(instance->handler->enter(instance->state), 0);
}

/* Exits with the errno of serve, or 0. */
static void serve_child(const struct handler_instance *instance, int fd, int type)
{
	struct preforkd_client client = {
		.fd = fd,
		.type = type,
		.peer = (const struct sockaddr *)&peer,
		.peer_len = sizeof(peer),
		.service = "test",
		.number = 1,
	};
	int result = instance->handler->serve(instance->state, &client);

	if (result == PREFORKD_READ_TO_END)
		_exit(READ_TO_END);
	_exit(result == 0 ? 0 : errno);
}

struct serving start(const struct handler_instance *instance, int type, int idle_msec)
{
	struct timeval idle = {.tv_usec = idle_msec * 1000};
	struct serving serving;
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair), 0);
	setsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof(idle));
	setsockopt(pair[1], SOL_SOCKET, SO_SNDTIMEO, &idle, sizeof(idle));
	serving.fd = pair[0];
	serving.pid = fork();
	ck_assert_int_ge(serving.pid, 0);
	if (serving.pid == 0) {
		close(pair[0]);
		serve_child(instance, pair[1], type);
	}
	close(pair[1]);
	return serving;
}

void put(const struct serving *serving, const void *data, size_t size)
{
	ck_assert_int_eq(preforkd_write(serving->fd, data, size), 0);
}

size_t get(const struct serving *serving, char *buffer, size_t room)
{
	size_t size = 0;
	ssize_t n;

	while (size < room && (n = preforkd_read(serving->fd, buffer + size, room - size)) > 0)
		size += (size_t)n;
	return size;
}

int finish(struct serving *serving)
{
	int status;

	close(serving->fd);
	ck_assert_int_eq(waitpid(serving->pid, &status, 0), serving->pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

ssize_t answer(const struct handler_instance *instance, const void *data, size_t size, void *reply,
	       size_t room)
{
	struct preforkd_datagram datagram = {
		.data = data,
		.size = size,
		.peer = (const struct sockaddr *)&peer,
		.peer_len = sizeof(peer),
		.service = "test",
		.number = 94,
	};

	return instance->handler->answer(instance->state, &datagram, reply, room);
}

void starts_with(const char *text, const char *start)
{
	ck_assert_msg(strncmp(text, start, strlen(start)) == 0, "\"%s\" does not start with \"%s\"",
		      text, start);
}

TCase *add_case(Suite *suite, const char *name)
{
	TCase *tcase = tcase_create(name);

	tcase_set_timeout(tcase, 30);
	suite_add_tcase(suite, tcase);
	return tcase;
}
