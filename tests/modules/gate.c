/* SPDX-License-Identifier: ISC */
/*
 * Echoes, and does the rest only when a test lets it. Each option is the path of a file:
 *
 *	open_waits   open returns when the file is there
 *	enter_waits  enter returns when the file is there
 *	enter_fails  enter fails with EACCES while the file is there
 *	open_leaves  open leaves a child behind that ends when the file is there
 */
#include <preforkd/handler.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

static void wait_for(const char *path)
{
	const struct timespec pause = {.tv_nsec = 2000000};

	while (*path && access(path, F_OK) < 0)
		nanosleep(&pause, NULL);
}

static int gate_open(const struct preforkd_setup *setup, void **state, char *error,
		     size_t error_size)
{
	const char *leaves = preforkd_option(setup, "open_leaves", "");

	(void)error;
	(void)error_size;
	wait_for(preforkd_option(setup, "open_waits", ""));
	if (*leaves && fork() == 0) {
		wait_for(leaves);
		_exit(0);
	}
	*state = (void *)(uintptr_t)setup;
	return 0;
}

static int gate_enter(void *state)
{
	const char *fails = preforkd_option(state, "enter_fails", "");

	wait_for(preforkd_option(state, "enter_waits", ""));
	if (!*fails || access(fails, F_OK) < 0)
		return 0;
	errno = EACCES;
	return -1;
}

static int gate_serve(void *state, const struct preforkd_client *client)
{
	char buffer[4096];
	ssize_t n;

	(void)state;
	while ((n = preforkd_read(client->fd, buffer, sizeof(buffer))) > 0)
		if (preforkd_write(client->fd, buffer, (size_t)n) < 0)
			return -1;
	return n < 0 ? -1 : PREFORKD_READ_TO_END;
}

const struct preforkd_handler preforkd_handler = {
	.abi = PREFORKD_ABI,
	.name = "gate",
	.open = gate_open,
	.enter = gate_enter,
	.serve = gate_serve,
};
