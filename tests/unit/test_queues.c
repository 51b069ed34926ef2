/* SPDX-License-Identifier: ISC */
/* What the kernel says of the accept queues of sockets. */
#include <config.h>

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "view/queues.h"

#define BACKLOG 9

union bound {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

static socklen_t fill(union bound *address, int family)
{
	memset(address, 0, sizeof(*address));
	address->any.sa_family = (sa_family_t)family;
	if (family == AF_INET)
		address->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (family == AF_INET6)
		address->in6.sin6_addr = in6addr_loopback;
	return family == AF_UNIX    ? sizeof(sa_family_t) /* the kernel finds a name */
	       : family == AF_INET6 ? sizeof(address->in6)
				    : sizeof(address->in);
}

static int listener_of(int family, union bound *address, socklen_t *len)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	*len = fill(address, family);
	ck_assert_int_eq(bind(fd, &address->any, *len), 0);
	ck_assert_int_eq(listen(fd, BACKLOG), 0);
	*len = sizeof(*address);
	ck_assert_int_eq(getsockname(fd, &address->any, len), 0);
	return fd;
}

static struct pool_view pool_of(const char *address, int fd)
{
	struct pool_view pool = {.queued = UINT64_MAX, .queue_limit = UINT64_MAX};
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	snprintf(pool.address, sizeof(pool.address), "%s", address);
	pool.inode = st.st_ino;
	return pool;
}

static const struct {
	int family;
	const char *address;
} kinds[] = {{AF_INET, "tcp://127.0.0.1:1"}, {AF_INET6, "tcp6://[::1]:1"}, {AF_UNIX, "unix://@x"}};
#define KINDS ((int)(sizeof(kinds) / sizeof(*kinds)))

static bool can(int family)
{
	union bound address;
	socklen_t len = fill(&address, family);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool result = fd >= 0 && bind(fd, &address.any, len) == 0;

	if (fd >= 0)
		close(fd);
	return result;
}

START_TEST(test_each_kind)
{
	enum { CLIENTS = 4 };
	int clients[CLIENTS], fd, other;
	union bound address, another;
	struct pool_view pools[2];
	struct snapshot snapshot = {.pools = pools, .pool_count = 2};
	socklen_t len, another_len;

	if (!can(kinds[_i].family))
		return;
	fd = listener_of(kinds[_i].family, &address, &len);
	other = listener_of(kinds[_i].family, &another, &another_len);
	pools[0] = pool_of(kinds[_i].address, fd);
	pools[1] = pool_of(kinds[_i].address, other);
	for (int i = 0; i < CLIENTS; i++) {
		snapshot_ask_queues(&snapshot);
		ck_assert_uint_eq(pools[0].queued, (unsigned)i);
		ck_assert_uint_eq(pools[0].values[POOL_queued], (unsigned)i);
		clients[i] = socket(kinds[_i].family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		ck_assert_int_eq(connect(clients[i], &address.any, len), 0);
	}
	ck_assert_uint_eq(pools[0].queue_limit, BACKLOG);
	/* Its address looks the same. */
	ck_assert_uint_eq(pools[1].queued, 0);
	for (int i = 0; i < CLIENTS; i++)
		close(clients[i]);
	close(other);
	close(fd);
}
END_TEST

/* What is not there for us keeps what it had: it may be in another network name space. */
START_TEST(test_no_such_socket)
{
	int pipes[2], bare = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct pool_view pools[3];
	struct snapshot snapshot = {.pools = pools, .pool_count = 3};

	ck_assert_int_eq(pipe(pipes), 0);
	pools[0] = pool_of("tcp://127.0.0.1:1", pipes[0]);
	pools[1] = pool_of("unix:///x", pipes[1]);
	pools[0].queued = 17;
	pools[1].inode = UINT64_MAX;
	/* It is there, but nobody can wait for it. */
	pools[2] = pool_of("unix:///y", bare);
	snapshot_ask_queues(&snapshot);
	ck_assert_uint_eq(pools[0].queued, 17);
	ck_assert_uint_eq(pools[1].queued, UINT64_MAX);
	ck_assert_uint_eq(pools[2].queued, UINT64_MAX);
	close(bare);
	close(pipes[0]);
	close(pipes[1]);
}
END_TEST

static Suite *queues_suite(void)
{
	Suite *suite = suite_create("queues");
	TCase *queues = tcase_create("queues");

	tcase_add_loop_test(queues, test_each_kind, 0, KINDS);
	tcase_add_test(queues, test_no_such_socket);
	suite_add_tcase(suite, queues);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(queues_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
