/* SPDX-License-Identifier: ISC */
#ifndef CTL_BENCH_OPTIONS_H
#define CTL_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

/* A timeout that was not given. */
#define BENCH_TIMEOUT_UNSET UINT64_MAX

/* The options of the verb bench as they were written; NULL: not given. */
struct bench_options {
	const char *connections, *duration, *count, *rate, *size, *mode, *request, *request_file,
		*processes;
	bool keep, remote, progress;
};

#endif
