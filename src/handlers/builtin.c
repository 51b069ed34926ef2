/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "handlers/builtin.h"

static bool is_known(const char *key, const char *const *known, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(known[i], key) == 0)
			return true;
	return false;
}

static void unknown_option(const char *key, const char *const *known, size_t count, char *error,
			   size_t error_size)
{
	size_t used;

	snprintf(error, error_size, "unknown option \"%s\"; %s", key,
		 count == 0 ? "there are none" : "known:");
	for (size_t i = 0; i < count; i++) {
		used = strlen(error);
		snprintf(error + used, error_size - used, "%s %s", i == 0 ? "" : ",", known[i]);
	}
}

int builtin_options_check(const struct preforkd_setup *setup, const char *const *known,
			  size_t count, char *error, size_t error_size)
{
	for (size_t i = 0; i < setup->option_count; i++) {
		const char *key = setup->options[i].key;

		if (is_known(key, known, count))
			continue;
		unknown_option(key, known, count, error, error_size);
		return -1;
	}
	return 0;
}

int builtin_open_plain(const struct preforkd_setup *setup, void **state, char *error,
		       size_t error_size)
{
	*state = NULL;
	return builtin_options_check(setup, NULL, 0, error, error_size);
}

ssize_t builtin_reply(void *reply, size_t room, const void *data, size_t size)
{
	if (size > room)
		size = room;
	if (size > BUILTIN_REPLY_MAX)
		size = BUILTIN_REPLY_MAX;
	memcpy(reply, data, size);
	return (ssize_t)size;
}

uint64_t builtin_random_seed(void)
{
	struct timespec now;
	uint64_t seed;

	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) == (ssize_t)sizeof(seed))
		return seed;
	clock_gettime(CLOCK_REALTIME, &now);
	return ((uint64_t)now.tv_sec << 32) ^ (uint64_t)now.tv_nsec ^ ((uint64_t)getpid() << 16);
}

/* splitmix64: a worker has a state of its own from its seed on, and zero is as good as any. */
uint64_t builtin_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}
