/* SPDX-License-Identifier: ISC */
/*
 * upper - a module that talks: sends every line back in upper case, until the client sends no more.
 *
 *	gcc -shared -fPIC $(pkg-config --cflags preforkd) -o upper.so upper.c
 *	install upper.so $(pkg-config --variable=moduledir preforkd)
 *
 *	service "upper" {
 *	    listen = {"tcp://127.0.0.1:4002", "unix:///run/preforkd/upper.sock"}
 *	    module = "upper"
 *	    idle_timeout = "30s"
 *	}
 *
 * A client that sends nothing for the idle timeout, or reads nothing, makes preforkd_read() or
 * preforkd_write() fail with EAGAIN. Return -1 then with errno as it is: the connection is closed
 * and counted as timed out. To say goodbye first, keep errno:
 *
 *	if (n < 0 && errno == EAGAIN) {
 *		preforkd_write(client->fd, "bye\n", 4);
 *		errno = EAGAIN;
 *		return -1;
 *	}
 */
#define _GNU_SOURCE /* memrchr */
#include <preforkd/handler.h>
#include <ctype.h>
#include <string.h>

#define LINE_MAX_SIZE 4096

static void upper_case(char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		text[i] = (char)toupper((unsigned char)text[i]);
}

/* Sends back the whole lines, and the rest too when no more fits. Returns the size of what stays,
 * now at the start, or -1. */
static ssize_t send_lines(int fd, char *buffer, size_t size)
{
	const char *newline = memrchr(buffer, '\n', size);
	size_t whole = newline ? (size_t)(newline + 1 - buffer) : 0;

	if (whole == 0 && size == LINE_MAX_SIZE)
		whole = size;
	if (whole == 0)
		return (ssize_t)size;
	upper_case(buffer, whole);
	if (preforkd_write(fd, buffer, whole) < 0)
		return -1;
	memmove(buffer, buffer + whole, size - whole);
	return (ssize_t)(size - whole);
}

static int upper_serve(void *state, const struct preforkd_client *client)
{
	char buffer[LINE_MAX_SIZE];
	size_t size = 0;

	(void)state;
	for (;;) {
		ssize_t n = preforkd_read(client->fd, buffer + size, sizeof(buffer) - size);
		ssize_t rest;

		if (n < 0)
			return -1;
		if (n == 0)
			break;
		rest = send_lines(client->fd, buffer, size + (size_t)n);
		if (rest < 0)
			return -1;
		size = (size_t)rest;
	}
	/* A last line without a newline. */
	upper_case(buffer, size);
	return preforkd_write(client->fd, buffer, size);
}

const struct preforkd_handler preforkd_handler = {
	.abi = PREFORKD_ABI,
	.name = "upper",
	.serve = upper_serve,
};
