/* SPDX-License-Identifier: ISC */
/*
 * A target without libFuzzer: gives it each file of its corpus, as it is, cut anywhere, and with
 * each byte changed in a few ways.
 *
 *	fuzz_proxy           corpus/proxy of the sources
 *	fuzz_proxy FILE...   these alone, as they are
 */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "fuzz.h"
#include <fcntl.h>

#define FILE_MAX (1 << 20)

static void fail(const char *path)
{
	fprintf(stderr, "%s: %s\n", path, strerror(errno));
	exit(EXIT_FAILURE);
}

static uint8_t *read_file(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *data = fd < 0 ? NULL : fd_read_all(fd, FILE_MAX, size);

	if (!data)
		fail(path);
	fd_close(&fd);
	return (uint8_t *)data;
}

/* In a block of just its size, so that the sanitizers see who reads on. */
static void give(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	CHECK(copy);
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static void give_changed(uint8_t *data, size_t size)
{
	static const uint8_t changes[] = {0x01, 0x10, 0x20, 0x80, 0xff};

	for (size_t i = 0; i < size; i++) {
		give(data, i);
		for (size_t k = 0; k < sizeof(changes); k++) {
			data[i] ^= changes[k];
			give(data, size);
			data[i] ^= changes[k];
		}
	}
}

static void replay(const char *path, int changed)
{
	size_t size;
	uint8_t *data = read_file(path, &size);

	give(data, size);
	if (changed)
		give_changed(data, size);
	free(data);
}

static void replay_corpus(const char *name)
{
	const char *source = getenv("SRCDIR");
	const struct dirent *entry;
	char path[4096];
	unsigned count = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", source ? source : ".", name);
	dir = opendir(path);
	if (!dir)
		fail(path);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s/%s", source ? source : ".",
			 name, entry->d_name);
		replay(path, 1);
		count++;
	}
	closedir(dir);
	printf("%s: %u files\n", name, count);
	if (count == 0)
		exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');

	name = strstr(name ? name : argv[0], "fuzz_");
	for (int i = 1; i < argc; i++)
		replay(argv[i], 0);
	if (argc < 2 && name)
		replay_corpus(name + strlen("fuzz_"));
	return name ? EXIT_SUCCESS : EXIT_FAILURE;
}
