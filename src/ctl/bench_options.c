/* SPDX-License-Identifier: ISC */
/* The options of bench: what was written, and what does not go together. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl/bench_exchange.h"
#include "ctl/client.h"

#define CONNECTIONS_MAX  100000
#define COUNT_MAX        UINT64_C(1000000000000)
#define SIZE_MAX_SENT    (UINT64_C(1) << 30)
#define REQUEST_FILE_MAX (16 * 1024 * 1024)
#define RATE_MAX         1e7
/* Below so many clients for each, a second process costs more than it brings. */
#define CLIENTS_EACH 8

#define DEFAULT_CONNECTIONS 8
#define DEFAULT_SIZE        64
#define DEFAULT_DURATION    (10 * NSEC_PER_SEC)
#define DEFAULT_TIMEOUT     (5 * NSEC_PER_SEC)
#define DATAGRAM_TIMEOUT    NSEC_PER_SEC /* a lost one holds its client up for so long */

static int number(const char *name, const char *text, uint64_t max, uint64_t *out,
		  struct error *err)
{
	if (!text || parse_uint(text, 1, max, out) == 0)
		return 0;
	return error_set(err, EX_USAGE, "--%s: \"%s\" is no number from 1 to %llu", name, text,
			 (unsigned long long)max);
}

static int read_size(const char *text, uint64_t *size, struct error *err)
{
	uint64_t value;

	if (!text)
		return 0;
	if (parse_size(text, &value) < 0 || value > SIZE_MAX_SENT)
		return error_set(err, EX_USAGE,
				 "--size: \"%s\" is no size up to 1G; write 64, 4K or 1M", text);
	*size = value;
	return 0;
}

static int read_duration(const char *text, struct bench_settings *settings, struct error *err)
{
	uint64_t usec;

	if (!text) {
		settings->duration_nsec = settings->count ? 0 : DEFAULT_DURATION;
		return 0;
	}
	if (parse_duration(text, &usec) < 0 || usec == 0 || usec > UINT64_MAX / NSEC_PER_USEC)
		return error_set(err, EX_USAGE,
				 "--duration: \"%s\" is no duration; write 500ms, 30s, 5m or 1h",
				 text);
	settings->duration_nsec = usec * NSEC_PER_USEC;
	return 0;
}

/* A number alone is a second's. */
static int read_rate(const char *text, struct rate *rate, struct error *err)
{
	uint64_t value;

	if (!text)
		return 0;
	if (parse_uint(text, 1, UINT64_MAX, &value) == 0)
		*rate = (struct rate){value, USEC_PER_SEC};
	else if (parse_rate(text, rate) < 0 || rate->count == 0)
		return error_set(err, EX_USAGE,
				 "--rate: \"%s\" is no rate; write 1000, 1000/s or 600/m", text);
	if ((double)rate->count / (double)rate->per_usec * (double)USEC_PER_SEC > RATE_MAX)
		return error_set(err, EX_USAGE, "--rate: \"%s\" is more than %.0f a second", text,
				 RATE_MAX);
	return 0;
}

static int read_mode(const struct bench_options *options, enum bench_mode *mode, struct error *err)
{
	*mode = options->request || options->request_file ? BENCH_REQUEST : BENCH_ECHO;
	if (!options->mode)
		return 0;
	for (unsigned i = 0; i < BENCH_MODES; i++)
		if (strcmp(bench_mode_names[i], options->mode) == 0) {
			*mode = (enum bench_mode)i;
			return 0;
		}
	return error_set(err, EX_USAGE,
			 "--mode: \"%s\"; there are echo, discard, read, line, request and http",
			 options->mode);
}

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) % 16 : -1;
}

/* One character of a text with C's escapes; moves *from behind it. -1: no such escape. */
static int unescape(const char **from)
{
	static const char letters[] = "rnt0\\", values[] = "\r\n\t\0\\";
	const char *p = *from;
	const char *at;

	if (*p != '\\') {
		*from = p + 1;
		return (unsigned char)*p;
	}
	if (p[1] == 'x' && hex_digit(p[2]) >= 0 && hex_digit(p[3]) >= 0) {
		*from = p + 4;
		return hex_digit(p[2]) * 16 + hex_digit(p[3]);
	}
	at = p[1] ? strchr(letters, p[1]) : NULL;
	*from = p + 2;
	return at ? (unsigned char)values[at - letters] : -1;
}

static int request_of_text(const char *text, struct bench_settings *settings, struct error *err)
{
	char *out = settings->request = calloc(1, strlen(text) + 1);

	if (!out)
		return error_set(err, EX_OSERR, "out of memory");
	for (const char *from = text; *from;) {
		int c = unescape(&from);
		if (c < 0)
			return error_set(err, EX_USAGE,
					 "--request: after \\ comes r, n, t, 0, \\ or xHH");
		*out++ = (char)c;
	}
	settings->request_size = (size_t)(out - settings->request);
	return 0;
}

static int request_of_file(const char *path, struct bench_settings *settings, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int saved;

	if (fd < 0)
		return error_set(err, EX_NOINPUT, "--request-file: %s: %s", path, strerror(errno));
	settings->request = fd_read_all(fd, REQUEST_FILE_MAX, &settings->request_size);
	saved = errno;
	fd_close(&fd);
	if (!settings->request)
		return error_set(err, EX_NOINPUT, "--request-file: %s: %s", path, strerror(saved));
	return 0;
}

/* A path, or nothing, to the request for it. */
static int request_of_path(struct bench_settings *settings, struct error *err)
{
	const struct address *a = &settings->address;
	const char *path = settings->request_size ? settings->request : "/";
	bool local = a->kind != ADDRESS_INET, any = strcmp(a->host, "*") == 0;
	char *text;
	int n = asprintf(&text,
			 "GET %.*s HTTP/1.1\r\nHost: %s%s%s%s%s\r\nUser-Agent: preforkctl/%s\r\n"
			 "Connection: %s\r\n\r\n",
			 settings->request_size ? (int)settings->request_size : 1, path,
			 a->bracketed ? "[" : "", local || any ? "localhost" : a->host,
			 a->bracketed ? "]" : "", local ? "" : ":", local ? "" : a->port,
			 PACKAGE_VERSION, settings->keep ? "keep-alive" : "close");

	if (n < 0)
		return error_set(err, EX_OSERR, "out of memory");
	free(settings->request);
	settings->request = text;
	settings->request_size = (size_t)n;
	return 0;
}

/* What a line lacks at its end. Room for it was left. */
static int complete_line(struct bench_settings *settings, struct error *err)
{
	char *text;

	if (settings->request_size && settings->request[settings->request_size - 1] == '\n')
		return 0;
	text = realloc(settings->request, settings->request_size + 1);
	if (!text)
		return error_set(err, EX_OSERR, "out of memory");
	text[settings->request_size++] = '\n';
	settings->request = text;
	return 0;
}

static int read_request(const struct bench_options *options, struct bench_settings *settings,
			struct error *err)
{
	bool given = options->request || options->request_file;
	int result = 0;

	if (options->request && options->request_file)
		return error_set(err, EX_USAGE, "--request and --request-file exclude each other");
	if (given && settings->mode <= BENCH_READ)
		return error_set(err, EX_USAGE, "--mode %s takes no request",
				 bench_mode_names[settings->mode]);
	if (!given && settings->mode == BENCH_REQUEST)
		return error_set(err, EX_USAGE, "--mode request needs --request or --request-file");
	if (options->request)
		result = request_of_text(options->request, settings, err);
	else if (options->request_file)
		result = request_of_file(options->request_file, settings, err);
	if (result == 0 && settings->mode == BENCH_HTTP &&
	    (settings->request_size == 0 || settings->request[0] == '/'))
		return request_of_path(settings, err);
	if (result == 0 && settings->mode == BENCH_LINE && given)
		return complete_line(settings, err);
	return result;
}

static int check_datagram(const struct bench_settings *settings, struct error *err)
{
	size_t size = settings->request ? settings->request_size : settings->size;

	if (settings->mode == BENCH_HTTP || settings->mode == BENCH_DISCARD)
		return error_set(err, EX_USAGE, "--mode %s is not for datagrams",
				 bench_mode_names[settings->mode]);
	if (settings->mode != BENCH_READ && size > DATAGRAM_MAX)
		return error_set(err, EX_USAGE, "%zu bytes are more than the %d of a datagram",
				 size, DATAGRAM_MAX);
	return 0;
}

static int check(const struct bench_options *options, const struct bench_settings *settings,
		 struct error *err)
{
	if (options->size && (settings->request || settings->mode == BENCH_READ))
		return error_set(err, EX_USAGE,
				 "--size is for echo, discard and line, without a "
				 "request");
	if (settings->size == 0 && settings->mode != BENCH_DISCARD &&
	    !(settings->mode == BENCH_ECHO && !settings->keep && !settings->datagrams))
		return error_set(err, EX_USAGE, "--size 0 is for echo without --keep, and discard");
	if (settings->mode == BENCH_LINE && !settings->request && settings->size > BENCH_PATTERN)
		return error_set(err, EX_USAGE, "--size: a line has at most %d bytes",
				 BENCH_PATTERN);
	if (settings->datagrams)
		return check_datagram(settings, err);
	if (settings->keep && settings->mode != BENCH_ECHO && settings->mode != BENCH_LINE &&
	    settings->mode != BENCH_HTTP)
		return error_set(err, EX_USAGE,
				 "--keep: the end of the connection is the end of a reply to %s",
				 bench_mode_names[settings->mode]);
	return 0;
}

static unsigned cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	return (unsigned)CPU_COUNT(&set);
}

static void set_processes(uint64_t wanted, struct bench_settings *settings)
{
	uint64_t most = settings->connections / CLIENTS_EACH;

	if (!wanted) {
		wanted = cpus();
		if (wanted > most)
			wanted = most ? most : 1;
	}
	if (wanted > settings->connections)
		wanted = settings->connections;
	if (wanted > BENCH_PROCESSES_MAX)
		wanted = BENCH_PROCESSES_MAX;
	settings->processes = (unsigned)wanted;
}

static int read_address(const char *text, struct bench_settings *settings, struct error *err)
{
	settings->text = text;
	if (address_parse(text, &settings->address, err) < 0) {
		err->code = EX_USAGE;
		return -1;
	}
	if (settings->address.kind == ADDRESS_SYSTEMD)
		return error_set(err, EX_USAGE,
				 "\"%s\": a client needs the address that the socket is bound to",
				 text);
	settings->datagrams = settings->address.type == SOCK_DGRAM;
	return 0;
}

static int read_numbers(const struct bench_options *options, struct bench_settings *settings,
			uint64_t *processes, struct error *err)
{
	if (number("connections", options->connections, CONNECTIONS_MAX, &settings->connections,
		   err) < 0 ||
	    number("count", options->count, COUNT_MAX, &settings->count, err) < 0 ||
	    number("processes", options->processes, BENCH_PROCESSES_MAX, processes, err) < 0)
		return -1;
	if (read_size(options->size, &settings->size, err) < 0 ||
	    read_duration(options->duration, settings, err) < 0)
		return -1;
	return read_rate(options->rate, &settings->rate, err);
}

int bench_options_read(const struct bench_options *options, uint64_t timeout_usec,
		       const char *address, struct bench_settings *settings, struct error *err)
{
	uint64_t processes = 0;

	*settings = (struct bench_settings){
		.connections = DEFAULT_CONNECTIONS,
		.size = DEFAULT_SIZE,
		.keep = options->keep,
		.remote = options->remote,
		.progress = options->progress,
	};
	if (read_address(address, settings, err) < 0 ||
	    read_numbers(options, settings, &processes, err) < 0 ||
	    read_mode(options, &settings->mode, err) < 0 ||
	    read_request(options, settings, err) < 0)
		return -1;
	set_processes(processes, settings);
	if (timeout_usec != BENCH_TIMEOUT_UNSET)
		settings->timeout_nsec = timeout_usec * NSEC_PER_USEC;
	else
		settings->timeout_nsec = settings->datagrams ? DATAGRAM_TIMEOUT : DEFAULT_TIMEOUT;
	return check(options, settings, err);
}

void bench_settings_free(struct bench_settings *settings)
{
	free(settings->request);
	settings->request = NULL;
}
