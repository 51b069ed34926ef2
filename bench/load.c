/* SPDX-License-Identifier: ISC */
/*
 * A closed-loop load: every client has one connection at a time, waits for its reply, checks it
 * byte for byte, and begins again. One JSON line says what came of it.
 *
 * With a constant rate it is open: connections are due at fixed times, and the next idle client
 * takes each. One that all clients are too busy for is late, and its latency counts from when it
 * was due; one that is in time counts from its connect, so that the timer's own delay is not in it.
 *
 * Of several addresses, a client's connections go now to one, now to another, so that all get the
 * same load at the same time; kept connections are shared out among them.
 *
 * Clients are threads, since a switch between threads of one process is the cheapest there is; each
 * has a descriptor table of its own (unshare), or they would contend for one.
 *
 * A client that sends the first FIN keeps its port in TIME_WAIT. On loopback the kernel takes such
 * a port again after a second (tcp_tw_reuse = 2, the default), and connections take turns over a
 * few source addresses, so that a second's connections fit into the ephemeral ports several times.
 */
#include <config.h>

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define ADDRESSES_MAX 8
#define CLIENTS_MAX   1024
#define BYTES_MAX     32768 /* both ways at once in socket buffers: nobody can wait for the other */
#define SECONDS_MAX   600
#define SECONDS_IDLE  3 /* past the end, before clients that still wait are given up */
#define SOURCES       4 /* 127.0.0.1 and up; more only fills the table of TIME_WAIT sockets */
#define STACK         65536
#define NSEC          1000000000ULL

/* Latencies: 32 steps for each power of two, so a percentile is exact to 3 %. */
#define STEP_BITS 5
#define STEPS     (1U << STEP_BITS)
#define BUCKETS   ((64 - STEP_BITS) * STEPS)

enum failure {
	FINE,
	FAIL_SOCKET,
	FAIL_CONNECT,
	FAIL_RESET,
	FAIL_WRITE,
	FAIL_READ,
	FAIL_SHORT,   /* end of file before the reply was complete */
	FAIL_WRONG,   /* a reply that is not ours, or more than the reply */
	FAIL_LOST,    /* no datagram came back within a second */
	FAIL_STALLED, /* still waiting long after the end */
	FAILURES
};

static const char *const failure_names[FAILURES] = {
	[FAIL_SOCKET] = "socket", [FAIL_CONNECT] = "connect", [FAIL_RESET] = "reset",
	[FAIL_WRITE] = "write",   [FAIL_READ] = "read",       [FAIL_SHORT] = "short",
	[FAIL_WRONG] = "wrong",   [FAIL_LOST] = "lost",       [FAIL_STALLED] = "stalled",
};

struct client {
	pthread_t thread;
	bool ended;
	int fd;      /* -1, or the connection that is kept */
	unsigned to; /* which of the addresses has its turn */
	uint64_t number;
	uint64_t done;
	uint64_t replied; /* when, if that and not the end of the connection is asked for */
	uint64_t good[ADDRESSES_MAX];
	uint64_t failed[FAILURES];
	uint32_t latency[BUCKETS];
	char sent[BYTES_MAX];
	char got[BYTES_MAX + 1]; /* one more, to see that a reply is not longer */
};

struct mode {
	const char *name;
	enum failure (*once)(struct client *client);
	bool datagrams;
	bool kept; /* connections */
};

struct target {
	const char *text;
	union {
		struct sockaddr any;
		struct sockaddr_in inet;
		struct sockaddr_un local;
	} to;
	socklen_t len;
	bool datagrams;
};

static struct {
	const struct mode *mode;
	struct target targets[ADDRESSES_MAX];
	unsigned addresses;
	uint64_t clients;
	uint64_t count; /* 0: as many as the time allows */
	double rate;    /* of connections a second; 0: as fast as it goes */
	double seconds;
	size_t bytes;
} load = {.clients = 1, .bytes = 16};

static pthread_barrier_t start;
static uint64_t begin, deadline;
static atomic_uint_fast64_t turns;
static atomic_bool given_up;

static uint64_t now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (uint64_t)at.tv_sec * NSEC + (uint64_t)at.tv_nsec;
}

/* True after an interruption that does not mean the end. */
static bool again(void)
{
	return errno == EINTR && !given_up;
}

static enum failure failure_of(enum failure otherwise)
{
	if (errno == EINTR)
		return FAIL_STALLED;
	return errno == ECONNRESET || errno == EPIPE ? FAIL_RESET : otherwise;
}

/* A message that no other client sends, and this one never again. */
static void message_next(struct client *client)
{
	uint64_t token = client->number << 40 | client->done;

	memcpy(client->sent, &token, load.bytes < sizeof(token) ? load.bytes : sizeof(token));
}

static bool source_bind(int fd, uint64_t turn)
{
	struct sockaddr_in from = {.sin_family = AF_INET};
	int on = 1;

	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(turn % SOURCES));
	/* Without a port: connect chooses one that is free for the pair of addresses. */
	return setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) == 0 &&
	       bind(fd, (struct sockaddr *)&from, sizeof(from)) == 0;
}

static enum failure client_connect(struct client *client)
{
	const struct timeval second = {.tv_sec = 1};
	const struct target *target = &load.targets[client->to];
	int type = target->datagrams ? SOCK_DGRAM : SOCK_STREAM;

	client->fd = socket(target->to.any.sa_family, type | SOCK_CLOEXEC, 0);
	if (client->fd < 0)
		return FAIL_SOCKET;
	if (target->datagrams &&
	    setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second)) < 0)
		return FAIL_SOCKET;
	if (target->to.any.sa_family == AF_INET && !target->datagrams &&
	    !source_bind(client->fd, (client->number + client->done) / load.addresses))
		return FAIL_SOCKET;
	if (connect(client->fd, &target->to.any, target->len) < 0)
		return failure_of(FAIL_CONNECT);
	return FINE;
}

static void client_close(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
}

static enum failure client_send(struct client *client)
{
	size_t sent = 0;

	while (sent < load.bytes) {
		ssize_t n = send(client->fd, client->sent + sent, load.bytes - sent, MSG_NOSIGNAL);

		if (n < 0 && !again())
			return failure_of(FAIL_WRITE);
		if (n > 0)
			sent += (size_t)n;
	}
	return FINE;
}

/* Up to max bytes, or to the end of file. */
static enum failure client_read(struct client *client, size_t max, size_t *got)
{
	*got = 0;
	while (*got < max) {
		ssize_t n = recv(client->fd, client->got + *got, max - *got, 0);

		if (n == 0)
			break;
		if (n < 0 && !again())
			return failure_of(FAIL_READ);
		if (n > 0)
			*got += (size_t)n;
	}
	return FINE;
}

static enum failure reply_check(struct client *client)
{
	size_t got;
	enum failure failure = client_read(client, load.bytes, &got);

	if (failure != FINE)
		return failure;
	if (got < load.bytes)
		return FAIL_SHORT;
	return memcmp(client->got, client->sent, load.bytes) == 0 ? FINE : FAIL_WRONG;
}

static enum failure end_check(struct client *client)
{
	size_t got;
	enum failure failure = client_read(client, 1, &got);

	return failure == FINE && got > 0 ? FAIL_WRONG : failure;
}

static enum failure exchange(struct client *client)
{
	enum failure failure;

	message_next(client);
	failure = client_send(client);
	return failure == FINE ? reply_check(client) : failure;
}

static enum failure once_echo(struct client *client)
{
	enum failure failure = client_connect(client);

	if (failure == FINE)
		failure = exchange(client);
	if (failure == FINE && shutdown(client->fd, SHUT_WR) < 0)
		failure = failure_of(FAIL_WRITE);
	if (failure == FINE)
		failure = end_check(client);
	client_close(client);
	return failure;
}

static enum failure once_keep(struct client *client)
{
	enum failure failure = client->fd < 0 ? client_connect(client) : FINE;

	if (failure == FINE)
		failure = exchange(client);
	if (failure != FINE)
		client_close(client);
	return failure;
}

/* What time it is nobody can know beforehand: one line of text that ends as lines do. */
static enum failure line_check(const char *line, size_t size)
{
	if (size == 0)
		return FAIL_SHORT;
	if (size < 3 || size >= BYTES_MAX || memcmp(line + size - 2, "\r\n", 2) != 0)
		return FAIL_WRONG;
	for (size_t i = 0; i < size - 2; i++)
		if (line[i] < ' ' || line[i] > '~')
			return FAIL_WRONG;
	return FINE;
}

static enum failure once_daytime(struct client *client)
{
	size_t got = 0;
	enum failure failure = client_connect(client);

	if (failure == FINE)
		failure = client_read(client, BYTES_MAX, &got);
	if (failure == FINE)
		failure = line_check(client->got, got);
	client_close(client);
	return failure;
}

/* All that is sent, to the end of file. */
static enum failure whole_check(struct client *client, const char *reply, size_t size)
{
	size_t got;
	enum failure failure = client_read(client, size + 1, &got);

	if (failure != FINE)
		return failure;
	if (got < size)
		return FAIL_SHORT;
	return got == size && memcmp(client->got, reply, size) == 0 ? FINE : FAIL_WRONG;
}

/* What bench/tiny says. */
static enum failure once_program(struct client *client)
{
	static const char reply[] = "hello\n";
	enum failure failure = client_connect(client);

	if (failure == FINE)
		failure = whole_check(client, reply, sizeof(reply) - 1);
	client_close(client);
	return failure;
}

/* As message_next, in text. */
static void line_next(struct client *client)
{
	uint64_t token = client->number << 40 | client->done;

	for (size_t i = 0; i + 1 < load.bytes; i++)
		client->sent[i] = "0123456789abcdef"[token >> i % 16 * 4 & 15];
	client->sent[load.bytes - 1] = '\n';
}

/* What a program does between its reply and its end is not part of the latency. */
static enum failure once_line(struct client *client)
{
	enum failure failure = client_connect(client);

	if (failure == FINE) {
		line_next(client);
		failure = client_send(client);
	}
	if (failure == FINE)
		failure = reply_check(client);
	client->replied = now();
	if (failure == FINE)
		failure = end_check(client);
	client_close(client);
	return failure;
}

/* The reply to a message that was counted as lost can still come: it is of the same size and not
 * the one we wait for. */
static enum failure datagram_check(struct client *client)
{
	bool late = client->failed[FAIL_LOST] > 0;

	for (;;) {
		ssize_t n = recv(client->fd, client->got, load.bytes + 1, 0);

		if (n < 0 && again())
			continue;
		if (n < 0)
			return errno == EAGAIN ? FAIL_LOST : failure_of(FAIL_READ);
		if ((size_t)n == load.bytes && memcmp(client->got, client->sent, load.bytes) == 0)
			return FINE;
		if ((size_t)n != load.bytes || !late)
			return FAIL_WRONG;
	}
}

static enum failure once_udp(struct client *client)
{
	enum failure failure = client->fd < 0 ? client_connect(client) : FINE;

	if (failure == FINE) {
		message_next(client);
		failure = client_send(client);
	}
	if (failure == FINE)
		failure = datagram_check(client);
	if (failure != FINE && failure != FAIL_LOST)
		client_close(client);
	return failure;
}

static unsigned bucket_of(uint64_t value)
{
	unsigned shift;

	if (value < STEPS)
		return (unsigned)value;
	shift = 63U - (unsigned)__builtin_clzll(value) - STEP_BITS;
	return (shift + 1) * STEPS + (unsigned)(value >> shift) % STEPS;
}

/* The middle of a bucket. */
static double bucket_value(unsigned bucket)
{
	unsigned shift = bucket / STEPS - 1;

	if (bucket < STEPS)
		return bucket;
	return ((double)(STEPS + bucket % STEPS) + 0.5) * (double)(1ULL << shift);
}

/* When the next connection is due, which may be long ago; 0: no more. */
static uint64_t turn_next(void)
{
	uint64_t turn = 0, at = now();

	if (load.count > 0 || load.rate > 0)
		turn = atomic_fetch_add_explicit(&turns, 1, memory_order_relaxed);
	if (at >= deadline || (load.count > 0 && turn >= load.count))
		return 0;
	if (load.rate > 0)
		at = begin + (uint64_t)((double)(turn + 1) * (double)NSEC / load.rate);
	return at < deadline ? at : 0;
}

/* When the latency of a connection begins that is due at this time. */
static uint64_t turn_wait(uint64_t due)
{
	struct timespec at = {.tv_sec = (time_t)(due / NSEC), .tv_nsec = (long)(due % NSEC)};

	if (load.rate <= 0 || due <= now())
		return due;
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		;
	return now();
}

/*
 * A kept connection stays where it is; short ones go anywhere, by chance: clients that took strict
 * turns fell into step, and one server then got the dearer half of the beat.
 */
static unsigned turn_of(const struct client *client)
{
	uint64_t mixed = (client->number << 40 | client->done) + now();

	if (load.mode->kept)
		return (unsigned)(client->number % load.addresses);
	mixed = (mixed ^ mixed >> 31) * 0x9e3779b97f4a7c15ULL;
	return (unsigned)((mixed >> 32) * load.addresses >> 32);
}

static void turn_take(struct client *client, uint64_t began)
{
	enum failure failure;

	client->to = turn_of(client);
	client->replied = 0;
	failure = load.mode->once(client);
	if (client->replied == 0)
		client->replied = now();
	client->done++;
	client->failed[failure]++;
	if (failure == FINE) {
		client->good[client->to]++;
		client->latency[bucket_of(client->replied - began)]++;
	} else { /* a server that is gone must not be hammered */
		usleep(1000);
	}
}

static void *client_main(void *arg)
{
	struct client *client = arg;
	uint64_t due;

	if (unshare(CLONE_FILES) < 0)
		warn("unshare");
	pthread_barrier_wait(&start);
	while ((due = turn_next()) != 0)
		turn_take(client, turn_wait(due));
	client_close(client);
	return NULL;
}

static void on_give_up(int number)
{
	(void)number;
}

/* Waits until `until` for those who have not ended; true when all have. */
static bool clients_join(struct client *clients, uint64_t until)
{
	struct timespec at = {.tv_sec = (time_t)(until / NSEC), .tv_nsec = (long)(until % NSEC)};
	bool all = true;

	for (uint64_t i = 0; i < load.clients; i++) {
		if (!clients[i].ended)
			clients[i].ended = pthread_clockjoin_np(clients[i].thread, NULL,
								CLOCK_MONOTONIC, &at) == 0;
		all = all && clients[i].ended;
	}
	return all;
}

static double own_cpu(void)
{
	struct rusage used;

	getrusage(RUSAGE_SELF, &used);
	return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
	       (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* Everybody has ended when this returns: who still waits for a reply is interrupted. */
static void clients_run(struct client *clients, uint64_t *took, double *used)
{
	uint64_t began, until;
	pthread_attr_t attributes;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK);
	pthread_barrier_init(&start, NULL, (unsigned)load.clients + 1);
	for (uint64_t i = 0; i < load.clients; i++) {
		clients[i].fd = -1;
		clients[i].number = i;
		memset(clients[i].sent, 'a' + (int)(i % 26), load.bytes);
		clients[i].sent[load.bytes - 1] = '\n'; /* some servers echo lines */
		if (pthread_create(&clients[i].thread, &attributes, client_main, &clients[i]) != 0)
			errx(EX_OSERR, "client %llu cannot start", (unsigned long long)i);
	}
	*used = own_cpu();
	began = now();
	begin = began;
	deadline = began + (uint64_t)(load.seconds * (double)NSEC);
	pthread_barrier_wait(&start);
	until = deadline + SECONDS_IDLE * NSEC;
	while (!clients_join(clients, until)) {
		given_up = true;
		for (uint64_t i = 0; i < load.clients; i++)
			if (!clients[i].ended)
				pthread_kill(clients[i].thread, SIGUSR1);
		until = now() + NSEC / 10;
	}
	*took = now() - began;
	*used = own_cpu() - *used;
}

/* Sums everything up in the first client. */
static struct client *clients_sum(struct client *clients)
{
	for (uint64_t i = 1; i < load.clients; i++) {
		clients[0].done += clients[i].done;
		for (unsigned j = 0; j < load.addresses; j++)
			clients[0].good[j] += clients[i].good[j];
		for (unsigned j = 0; j < FAILURES; j++)
			clients[0].failed[j] += clients[i].failed[j];
		for (unsigned j = 0; j < BUCKETS; j++)
			clients[0].latency[j] += clients[i].latency[j];
	}
	return &clients[0];
}

static double percentile(const struct client *sum, double share)
{
	double left = share * (double)sum->failed[FINE];

	for (unsigned i = 0; i < BUCKETS; i++) {
		left -= sum->latency[i];
		if (sum->latency[i] > 0 && left <= 0)
			return bucket_value(i) / 1000;
	}
	return 0;
}

static void print_targets(const struct client *sum)
{
	printf(", \"addresses\": [");
	for (unsigned i = 0; i < load.addresses; i++)
		printf("%s{\"address\": \"%s\", \"count\": %llu}", i == 0 ? "" : ", ",
		       load.targets[i].text, (unsigned long long)sum->good[i]);
	printf("]");
}

static void print_errors(const struct client *sum)
{
	printf(", \"failed\": %llu, \"errors\": {",
	       (unsigned long long)(sum->done - sum->failed[FINE]));
	for (unsigned i = FAIL_SOCKET; i < FAILURES; i++)
		printf("%s\"%s\": %llu", i == FAIL_SOCKET ? "" : ", ", failure_names[i],
		       (unsigned long long)sum->failed[i]);
	printf("}");
}

/* `count` is of those that went well, and so are the rate and the percentiles. */
static void print(const struct client *sum, uint64_t took, double used)
{
	double seconds = (double)took / (double)NSEC;
	double good = (double)sum->failed[FINE];

	printf("{\"mode\": \"%s\", \"clients\": %llu, \"bytes\": %zu, \"count\": %llu",
	       load.mode->name, (unsigned long long)load.clients, load.bytes,
	       (unsigned long long)sum->failed[FINE]);
	print_targets(sum);
	print_errors(sum);
	printf(", \"seconds\": %.3f, \"rate\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, "
	       "\"own_cpu_us\": %.2f}\n",
	       seconds, good / seconds, percentile(sum, 0.5), percentile(sum, 0.99),
	       good > 0 ? used * 1e6 / good : 0);
}

static const struct mode modes[] = {
	{"echo", once_echo, false, false},       {"keep", once_keep, false, true},
	{"daytime", once_daytime, false, false}, {"program", once_program, false, false},
	{"line", once_line, false, false},       {"udp", once_udp, true, true},
};

static _Noreturn void usage(void)
{
	fputs("usage: load echo|keep|daytime|program|line|udp ADDRESS... [-c CLIENTS] [-s BYTES] "
	      "[-r RATE] -n COUNT | -d SECONDS\n"
	      "ADDRESS: tcp://127.0.0.1:PORT udp://127.0.0.1:PORT unix:///PATH\n",
	      stderr);
	exit(EX_USAGE);
}

/* tcp://127.0.0.1:PORT or udp://127.0.0.1:PORT */
static bool inet_read(struct target *target, const char *text)
{
	static const char host[] = "://127.0.0.1:";
	const char *digits;
	char *end;
	long port;

	target->datagrams = strncmp(text, "udp", 3) == 0;
	if ((!target->datagrams && strncmp(text, "tcp", 3) != 0) ||
	    strncmp(text + 3, host, sizeof(host) - 1) != 0)
		return false;
	digits = text + 3 + sizeof(host) - 1;
	port = strtol(digits, &end, 10);
	if (end == digits || *end != '\0' || port < 1 || port > 65535)
		return false;
	target->to.inet.sin_family = AF_INET;
	target->to.inet.sin_port = htons((uint16_t)port);
	target->to.inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	target->len = sizeof(target->to.inet);
	return true;
}

static void address_read(struct target *target, const char *text)
{
	target->text = text;
	if (strncmp(text, "unix:///", 8) == 0) {
		if (strlen(text + 7) >= sizeof(target->to.local.sun_path))
			errx(EX_USAGE, "%s: too long", text);
		target->to.local.sun_family = AF_UNIX;
		strcpy(target->to.local.sun_path, text + 7);
		target->len = sizeof(target->to.local);
		return;
	}
	if (!inet_read(target, text))
		errx(EX_USAGE, "%s: not an address on 127.0.0.1 or a Unix socket", text);
}

static const struct mode *mode_read(const char *name)
{
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(modes[i].name, name) == 0)
			return &modes[i];
	usage();
}

static double number_read(const char *text, double least, double most)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end != '\0' || !(value >= least && value <= most))
		errx(EX_USAGE, "%s: not a number from %g to %g", text, least, most);
	return value;
}

static void options_read(int argc, char **argv)
{
	const struct mode *mode;
	int option;

	while ((option = getopt(argc, argv, "c:n:d:r:s:")) != -1) {
		if (option == 'c')
			load.clients = (uint64_t)number_read(optarg, 1, CLIENTS_MAX);
		else if (option == 'n')
			load.count = (uint64_t)number_read(optarg, 1, 1e9);
		else if (option == 'd')
			load.seconds = number_read(optarg, 0.001, SECONDS_MAX);
		else if (option == 'r')
			load.rate = number_read(optarg, 0.001, 1e6);
		else if (option == 's')
			load.bytes = (size_t)number_read(optarg, 1, BYTES_MAX);
		else
			usage();
	}
	if (argc - optind < 2 || argc - optind > ADDRESSES_MAX + 1 ||
	    (load.count == 0 && load.seconds <= 0))
		usage();
	if (load.seconds <= 0)
		load.seconds = SECONDS_MAX; /* every load ends */
	mode = mode_read(argv[optind++]);
	load.mode = mode;
	for (; optind < argc; optind++) {
		struct target *target = &load.targets[load.addresses++];

		address_read(target, argv[optind]);
		if (target->datagrams != mode->datagrams)
			errx(EX_USAGE, "%s cannot be asked of %s", mode->name, target->text);
	}
}

int main(int argc, char **argv)
{
	struct sigaction act = {.sa_handler = on_give_up}; /* no SA_RESTART: it interrupts */
	struct client *clients, *sum;
	uint64_t took;
	double used;
	bool good;

	options_read(argc, argv);
	clients = calloc(load.clients, sizeof(*clients));
	if (clients == NULL || sigaction(SIGUSR1, &act, NULL) < 0)
		err(EX_OSERR, "start");
	clients_run(clients, &took, &used);
	sum = clients_sum(clients);
	print(sum, took, used);
	good = sum->done == sum->failed[FINE] && sum->done > 0;
	free(clients);
	return good ? 0 : EXIT_FAILURE;
}
