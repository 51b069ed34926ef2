/* SPDX-License-Identifier: ISC */
/*
 * count - a module with an option and a state: greets each connection with its number.
 *
 *	gcc -shared -fPIC $(pkg-config --cflags preforkd) -o count.so count.c
 *	install count.so $(pkg-config --variable=moduledir preforkd)
 *
 *	service "count" {
 *	    listen = {"tcp://127.0.0.1:4001"}
 *	    module = "count"
 *	    options { greeting = "welcome" }
 *	}
 *
 * open() runs once in the master, so the greeting is there once for all workers. Each worker has
 * its own copy of what it changes: every one of them counts for itself.
 */
#include <preforkd/handler.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct count {
	const char *greeting;
	unsigned long served;
};

static int count_open(const struct preforkd_setup *setup, void **state, char *error,
		      size_t error_size)
{
	struct count *count;

	for (size_t i = 0; i < setup->option_count; i++) {
		if (strcmp(setup->options[i].key, "greeting") == 0)
			continue;
		snprintf(error, error_size, "unknown option \"%s\"; known: greeting",
			 setup->options[i].key);
		return -1;
	}
	count = malloc(sizeof(*count));
	if (!count) {
		snprintf(error, error_size, "out of memory");
		return -1;
	}
	/* No copy: the setup stays until close(). */
	count->greeting = preforkd_option(setup, "greeting", "hello");
	count->served = 0;
	*state = count;
	return 0;
}

/* In the worker: the place for what must not be shared, as a connection to a database. */
static int count_enter(void *state)
{
	struct count *count = state;

	count->served = 0;
	return 0;
}

static int count_serve(void *state, const struct preforkd_client *client)
{
	struct count *count = state;
	char line[256];
	int size;

	count->served++;
	size = snprintf(line, sizeof(line), "%.200s, client %lu\n", count->greeting, count->served);
	return size < 0 ? -1 : preforkd_write(client->fd, line, (size_t)size);
}

/* What a module writes to stderr is in the log of the daemon. */
static void count_leave(void *state)
{
	const struct count *count = state;

	fprintf(stderr, "count: %lu clients in this worker\n", count->served);
}

static void count_close(void *state)
{
	free(state);
}

const struct preforkd_handler preforkd_handler = {
	.abi = PREFORKD_ABI,
	.name = "count",
	.open = count_open,
	.enter = count_enter,
	.serve = count_serve,
	.leave = count_leave,
	.close = count_close,
};
