/* SPDX-License-Identifier: ISC */
/* What the parts of the verb bench share: what is asked for, and what came of it. */
#ifndef CTL_BENCH_H
#define CTL_BENCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/error.h"
#include "base/histogram.h"
#include "base/parse.h"
#include "ctl/bench_options.h"

#define NSEC_PER_USEC UINT64_C(1000)
#define NSEC_PER_SEC  UINT64_C(1000000000)

#define BENCH_PROCESSES_MAX 64
#define BENCH_ENDPOINTS_MAX 8

/* What is sent, and what reply is demanded. */
enum bench_mode {
	BENCH_ECHO,    /* the same back, and a clean end */
	BENCH_DISCARD, /* nothing back, and a clean end */
	BENCH_READ,    /* nothing is sent: the server speaks first, to its end */
	BENCH_LINE,    /* a line, and a line back */
	BENCH_REQUEST, /* a request, and any reply to its end */
	BENCH_HTTP     /* the same, where the reply says how long it is */
};
#define BENCH_MODES (BENCH_HTTP + 1)
extern const char *const bench_mode_names[BENCH_MODES];

/* What a server did wrong, and the last ones what this end could not do. */
enum bench_failure {
	BENCH_REFUSED,
	BENCH_UNREACHABLE,
	BENCH_RESET,
	BENCH_TIMED_OUT,
	BENCH_CLOSED_EARLY,
	BENCH_WRONG_REPLY,
	BENCH_LOST,
	BENCH_OTHER,
	BENCH_NO_PORTS,
	BENCH_NO_DESCRIPTORS
};
#define BENCH_FAILURES (BENCH_NO_DESCRIPTORS + 1)

struct bench_failure_info {
	const char *name; /* of its member in JSON */
	const char *text;
	bool own; /* a limit of this end */
};
extern const struct bench_failure_info bench_failures[BENCH_FAILURES];
enum bench_failure bench_failure_of(int errnum);

struct bench_settings {
	const char *text; /* the address as it was written */
	struct address address;
	struct endpoint endpoints[BENCH_ENDPOINTS_MAX];
	size_t endpoint_count;
	enum bench_mode mode;
	bool keep, remote, progress, datagrams;
	unsigned processes;
	uint64_t connections;
	uint64_t count;         /* 0: as many as the time allows */
	uint64_t duration_nsec; /* 0: as long as the count takes */
	uint64_t timeout_nsec;  /* 0: none */
	struct rate rate;       /* count 0: as fast as it goes */
	uint64_t size;
	char *request; /* allocated; NULL: made from size */
	size_t request_size;
};

/* A histogram of nanoseconds, with the largest one as it was. */
struct bench_times {
	struct histogram histogram;
	uint64_t max;
};
void bench_times_add(struct bench_times *times, uint64_t nsec);
void bench_times_merge(struct bench_times *into, const struct bench_times *from);
/* In microseconds, never above the largest. */
double bench_times_quantile(const struct bench_times *times, double q);
double bench_times_mean(const struct bench_times *times);

/* What one process did; the parent reads it meanwhile. */
struct bench_stats {
	uint64_t begun;   /* requests */
	uint64_t good;    /* of them */
	uint64_t in_time; /* of the good ones: complete before the time was over */
	uint64_t failed[BENCH_FAILURES];
	int other_errno; /* of the last BENCH_OTHER */
	uint64_t unfinished;
	uint64_t opened; /* connections */
	uint64_t bytes_sent, bytes_received;
	uint64_t late_busy; /* begun more than BENCH_LATE_NSEC after they were due: no client was
			     * free
			     */
	uint64_t late_own;  /* one was, but this process came too late */
	uint64_t last_nsec; /* when the last one ended */
	uint64_t cpu_nsec, ready_nsec; /* run, and waited for a CPU */
	uint64_t wall_nsec;            /* of that time */
	struct bench_times connect, total, lag;
};
#define BENCH_LATE_NSEC (NSEC_PER_SEC / 1000)
void bench_stats_merge(struct bench_stats *into, const struct bench_stats *from);
uint64_t bench_stats_failed(const struct bench_stats *stats);

/* What the processes share. */
struct bench_shared {
	atomic_uint_fast64_t next; /* the number of the next request */
	atomic_uint endpoint;      /* of the list, the one that is there */
	atomic_bool stop;
	atomic_int hopeless;        /* errno: nobody is there */
	atomic_bool broken;         /* a process has failed: */
	struct error error;         /* why */
	int stop_fd;                /* an eventfd that is readable from then on */
	uint64_t begin, end;        /* CLOCK_MONOTONIC; end UINT64_MAX: when the count is reached */
	struct bench_stats stats[]; /* of each process */
};

struct bench_result {
	struct bench_stats stats; /* of all */
	double seconds;           /* until the end, without the wait for the last replies */
	double busy;       /* of the busiest process: the share of time it ran or wanted to */
	uint64_t due;      /* with a rate: until the end */
	uint64_t not_sent; /* of them */
	bool interrupted;
};

/* Reads what was written into settings, which bench_settings_free() frees, also after an error.
 * timeout_usec BENCH_TIMEOUT_UNSET: not given. Return 0, or -1 with err. */

int bench_options_read(const struct bench_options *options, uint64_t timeout_usec,
		       const char *address, struct bench_settings *settings, struct error *err);
void bench_settings_free(struct bench_settings *settings);

/* Looks the address up and refuses one of another machine without --remote. Returns 0, or -1. */
int bench_target(struct bench_settings *settings, struct error *err);

uint64_t bench_now(void);
void bench_wait_until(uint64_t at);
/* How long this process ran, and how long it waited for a CPU: 0 where the kernel does not say. */
uint64_t bench_cpu_nsec(void);
uint64_t bench_ready_nsec(void);
/* When request number k is due; and how many are due before `end`. */
uint64_t bench_due(struct rate rate, uint64_t begin, uint64_t k);
uint64_t bench_due_before(struct rate rate, uint64_t begin, uint64_t end);

/* One process: returns 0, or -1 with err. number: of it. */
int bench_loop(const struct bench_settings *settings, struct bench_shared *shared, unsigned number,
	       struct error *err);
/* All of it: as many processes as settings say, and the progress. Returns 0, or -1 with err. */
int bench_load(const struct bench_settings *settings, struct bench_result *result,
	       struct error *err);

/* The progress, on stderr, of the `seconds` since there were `before` good ones. */
void bench_progress(const struct bench_stats *stats, uint64_t before, double seconds,
		    double since_begin);
/* Good ones a second. */
double bench_rate(const struct bench_result *result);
/* True when the process that makes the load may have been what limited it. */
bool bench_limited(const struct bench_settings *settings, const struct bench_result *result);
void bench_report(const struct bench_settings *settings, const struct bench_result *result);
int bench_json(const struct bench_settings *settings, const struct bench_result *result,
	       struct error *err);
/* `12.3us` `4.56ms` `1.23s`. BENCH_TIME_MAX bytes. Returns text. */
#define BENCH_TIME_MAX 24
const char *bench_time(char *text, double usec);
/* `1.5` `12345` `123K` `4.56M`, in powers of 1000. */
const char *bench_amount(char *text, double amount);

#endif
