/* SPDX-License-Identifier: ISC */
/*
 * hello - the smallest module: says hello to every connection and answers every datagram.
 *
 *	gcc -shared -fPIC $(pkg-config --cflags preforkd) -o hello.so hello.c
 *	install hello.so $(pkg-config --variable=moduledir preforkd)
 *
 *	service "hello" {
 *	    listen = {"tcp://127.0.0.1:4000", "udp://127.0.0.1:4000"}
 *	    module = "hello"
 *	}
 */
#include <preforkd/handler.h>
#include <string.h>

static int hello_serve(void *state, const struct preforkd_client *client)
{
	(void)state;
	return preforkd_write(client->fd, "hello\n", 6);
}

static ssize_t hello_answer(void *state, const struct preforkd_datagram *datagram, void *reply,
			    size_t room)
{
	(void)state;
	(void)datagram;
	if (room < 6)
		return 0;
	memcpy(reply, "hello\n", 6);
	return 6;
}

const struct preforkd_handler preforkd_handler = {
	.abi = PREFORKD_ABI,
	.flags = PREFORKD_REFUSE_LOOPS | PREFORKD_SMALL_REPLIES,
	.name = "hello",
	.serve = hello_serve,
	.answer = hello_answer,
};
