/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "board/read.h"
#include "board/seqlock.h"
#include "board/ticks.h"

/* A writer holds a seqlock for some nanoseconds; one that is still odd after this many looks is
 * dead or stopped. */
#define READ_TRIES 200

int board_default_directory(const char *instance, char *path, size_t room, struct error *err)
{
	const char *user = getenv("XDG_RUNTIME_DIR");
	int n;

	if (geteuid() != 0 && user && *user)
		n = snprintf(path, room, "%s/preforkd/%s", user, instance);
	else
		n = snprintf(path, room, "%s/%s", RUNTIMEDIR, instance);
	if (n < 0 || (size_t)n >= room)
		return error_set(err, EX_USAGE, "instance \"%s\": the name is too long", instance);
	return 0;
}

/* Of what follows the head; both files carry it. */
static int check_header(const struct board_header *header, size_t size, const char *path,
			struct error *err)
{
	if (header->version != BOARD_VERSION || header->layout != board_layout_hash() ||
	    header->size != size)
		return error_set(err, EX_DATAERR,
				 "%s: written by another version of preforkd; use its preforkctl",
				 path);
	return 0;
}

static int open_file(const char *path, off_t *size, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return error_set(err, errno == EACCES ? EX_NOPERM : EX_UNAVAILABLE, "%s: %s", path,
				 strerror(errno));
	if (fstat(fd, &st) < 0) {
		error_set(err, EX_OSERR, "%s: %s", path, strerror(errno));
		fd_close(&fd);
	} else if (st.st_size == 0) {
		/* Only a lock as yet. */
		error_set(err, EX_UNAVAILABLE, "%s: preforkd starts, or could not", path);
		fd_close(&fd);
	} else {
		*size = st.st_size;
	}
	return fd;
}

/* The first `size` bytes of a file with our magic, and its descriptor. */
static const void *map_file(const char *path, size_t size, int *fd, struct error *err)
{
	const struct board_header *map;
	off_t there = 0;

	*fd = open_file(path, &there, err);
	if (*fd < 0)
		return NULL;
	if ((size_t)there < size) {
		error_set(err, EX_DATAERR, "%s: not a board of this version of preforkd", path);
		fd_close(fd);
		return NULL;
	}
	map = mmap(NULL, size, PROT_READ, MAP_SHARED, *fd, 0);
	if (map != MAP_FAILED && map->magic == BOARD_MAGIC)
		return map;
	if (map == MAP_FAILED) {
		error_set(err, EX_OSERR, "%s: mmap: %s", path, strerror(errno));
	} else {
		error_set(err, EX_DATAERR, "%s: not a board of preforkd", path);
		munmap((void *)(uintptr_t)map, size);
	}
	fd_close(fd);
	return NULL;
}

static int open_master(struct board_reader *reader, const char *directory, struct error *err)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", directory, BOARD_MASTER_FILE);
	reader->master = map_file(path, sizeof(struct master_file), &reader->lock_fd, err);
	if (!reader->master)
		return -1;
	reader->head = &reader->master->head;
	return check_header(&reader->head->header, sizeof(struct master_file), path, err);
}

static int open_workers(struct board_reader *reader, const char *directory, struct error *err)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, BOARD_WORKERS_FILE);
	reader->workers = map_file(path, sizeof(struct board_file), &fd, err);
	if (!reader->workers)
		return -1;
	fd_close(&fd);
	return check_header(&reader->workers->header, sizeof(struct board_file), path, err);
}

int board_open(struct board_reader *reader, const char *directory, struct error *err)
{
	*reader = (struct board_reader){.lock_fd = -1};
	if (open_master(reader, directory, err) == 0 && open_workers(reader, directory, err) == 0)
		return 0;
	board_close(reader);
	return -1;
}

int board_open_head(struct board_reader *reader, const char *directory, struct error *err)
{
	char path[4096];

	*reader = (struct board_reader){.lock_fd = -1};
	snprintf(path, sizeof(path), "%s/%s", directory, BOARD_MASTER_FILE);
	reader->head = map_file(path, sizeof(struct master_head), &reader->lock_fd, err);
	return reader->head ? 0 : -1;
}

void board_close(struct board_reader *reader)
{
	size_t size = reader->master ? sizeof(struct master_file) : sizeof(struct master_head);

	/* munmap takes no const; nothing is written. */
	if (reader->head)
		munmap((void *)(uintptr_t)reader->head, size);
	if (reader->workers)
		munmap((void *)(uintptr_t)reader->workers, sizeof(struct board_file));
	fd_close(&reader->lock_fd);
	*reader = (struct board_reader){.lock_fd = -1};
}

bool board_replaced(const struct board_reader *reader, const char *directory)
{
	char path[4096];
	struct stat here, there;

	snprintf(path, sizeof(path), "%s/%s", directory, BOARD_MASTER_FILE);
	if (fstat(reader->lock_fd, &here) < 0 || stat(path, &there) < 0)
		return false;
	return here.st_ino != there.st_ino || here.st_dev != there.st_dev;
}

bool board_same_master(const struct board_reader *one, const struct board_reader *other)
{
	const struct master_head *a = one->head, *b = other->head;

	return atomic_load_explicit(&a->pid, RELAXED) == atomic_load_explicit(&b->pid, RELAXED) &&
	       atomic_load_explicit(&a->pid_start_ticks, RELAXED) ==
		       atomic_load_explicit(&b->pid_start_ticks, RELAXED);
}

static pid_t lock_holder(const struct board_reader *reader)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(reader->lock_fd, F_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
		return 0;
	return lock.l_pid;
}

bool board_master_lives(const struct board_reader *reader)
{
	return lock_holder(reader) != 0;
}

int board_master_pidfd(const struct board_reader *reader, struct error *err)
{
	pid_t pid = (pid_t)atomic_load_explicit(&reader->head->pid, RELAXED);
	uint64_t ticks = atomic_load_explicit(&reader->head->pid_start_ticks, RELAXED);
	int fd;

	if (pid <= 0 || lock_holder(reader) != pid)
		return error_set(err, EX_UNAVAILABLE, "its master (pid %d) is gone", (int)pid);
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return error_set(err, errno == ESRCH ? EX_UNAVAILABLE : EX_OSERR, "pid %d: %s",
				 (int)pid, strerror(errno));
	if (board_start_ticks(pid) != ticks) {
		fd_close(&fd);
		return error_set(err, EX_UNAVAILABLE, "its master (pid %d) is gone", (int)pid);
	}
	return fd;
}

static void copy_values(uint64_t *to, const board_u64 *from, size_t count)
{
	for (size_t i = 0; i < count; i++)
		to[i] = atomic_load_explicit(&from[i], RELAXED);
}

static void copy_text(char *to, const char *from, size_t room)
{
	memcpy(to, from, room);
	to[room - 1] = '\0';
}

uint32_t board_pool_count(const struct board_reader *reader)
{
	uint32_t count = atomic_load_explicit(&reader->master->pools_high, RELAXED);

	return count < BOARD_POOLS ? count : BOARD_POOLS;
}

uint32_t board_worker_count(const struct board_reader *reader)
{
	uint32_t count = atomic_load_explicit(&reader->master->slots_high, RELAXED);

	return count < BOARD_SLOTS ? count : BOARD_SLOTS;
}

/* One look at a slot, again while its worker is writing. Returns false if it stayed torn. */
static bool read_slot(const struct slot *slot, struct worker_view *view)
{
	uint32_t peer[BOARD_PEER_MAX / 4];
	uint32_t seq, state;

	for (int i = 0; i < READ_TRIES; i++) {
		seq = seq_read_begin(&slot->seq);
		copy_values(view->connections, slot->values, CONNECTION_FIELDS);
		state = atomic_load_explicit(&slot->state, RELAXED);
		view->state = state < SLOT_STATES ? (enum slot_state)state : SLOT_FREE;
		view->since_usec = atomic_load_explicit(&slot->since_usec, RELAXED);
		view->peer_len = atomic_load_explicit(&slot->peer_len, RELAXED);
		for (size_t w = 0; w < BOARD_PEER_MAX / 4; w++)
			peer[w] = atomic_load_explicit(&slot->peer[w], RELAXED);
		view->torn = seq_read_retry(&slot->seq, seq);
		if (!view->torn)
			break;
	}
	if (view->peer_len > BOARD_PEER_MAX)
		view->peer_len = 0;
	memset(&view->peer, 0, sizeof(view->peer));
	memcpy(&view->peer, peer, view->peer_len);
	return !view->torn;
}

bool board_read_worker(const struct board_reader *reader, uint32_t index, struct worker_view *view)
{
	const struct slot_owner *owner;

	if (index >= BOARD_SLOTS)
		return false;
	owner = &reader->master->owners[index];
	*view = (struct worker_view){
		.pid = atomic_load_explicit(&owner->pid, RELAXED),
		.pool = atomic_load_explicit(&owner->pool, memory_order_acquire),
		.generation = atomic_load_explicit(&owner->generation, RELAXED),
		.leaving = atomic_load_explicit(&owner->leaving, RELAXED) != 0,
		.started_usec = atomic_load_explicit(&owner->started_usec, RELAXED),
	};
	if (view->pool >= BOARD_POOLS || view->pid == 0)
		return false;
	read_slot(&reader->workers->slots[index], view);
	return true;
}

static void sum_pool(const struct board_reader *reader, uint32_t index, struct pool_view *view)
{
	const struct pool_record *pool = &reader->master->pools[index];
	uint32_t workers = board_worker_count(reader);
	struct worker_view worker;

	copy_values(view->connections, pool->totals, CONNECTION_FIELDS);
	view->idle = view->busy = 0;
	view->torn = false;
	for (uint32_t i = 0; i < workers; i++) {
		if (atomic_load_explicit(&reader->master->owners[i].pool, RELAXED) != index ||
		    !board_read_worker(reader, i, &worker))
			continue;
		for (size_t f = 0; f < CONNECTION_FIELDS; f++)
			view->connections[f] += worker.connections[f];
		view->idle += worker.state == SLOT_IDLE;
		view->busy += worker.state == SLOT_BUSY;
		view->torn = view->torn || worker.torn;
	}
}

bool board_read_pool(const struct board_reader *reader, uint32_t index, struct pool_view *view)
{
	const struct pool_record *pool;
	uint32_t seq;
	bool moved = true;

	if (index >= BOARD_POOLS)
		return false;
	pool = &reader->master->pools[index];
	if (!atomic_load_explicit(&pool->used, memory_order_acquire))
		return false;
	copy_text(view->service, pool->service, sizeof(view->service));
	copy_text(view->address, pool->address, sizeof(view->address));
	copy_text(view->handler, pool->handler, sizeof(view->handler));
	/* The master must not move a dead worker's counters while they are summed. */
	for (int i = 0; i < READ_TRIES && moved; i++) {
		seq = seq_read_begin(&pool->seq);
		copy_values(view->values, pool->values, POOL_FIELDS);
		sum_pool(reader, index, view);
		moved = seq_read_retry(&pool->seq, seq);
	}
	view->torn = view->torn || moved;
	view->queued = view->values[POOL_queued];
	view->queue_limit = view->values[POOL_queue_limit];
	view->inode = atomic_load_explicit(&pool->inode, RELAXED);
	return true;
}

static void sum_times(const struct pool_times *times, enum times_kind kind, struct histogram *to)
{
	memset(to, 0, sizeof(*to));
	for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++) {
		for (unsigned s = 0; s < TIMES_SHARDS; s++)
			to->counts[b] +=
				atomic_load_explicit(&times->shards[s].counts[kind][b], RELAXED);
		to->sum += to->counts[b] * histogram_value(b);
	}
}

void board_read_times(const struct board_reader *reader, uint32_t index, struct pool_view *view)
{
	const struct pool_times *times = &reader->workers->times[index % BOARD_POOLS];

	sum_times(times, TIMES_CONNECTION, &view->times);
	sum_times(times, TIMES_WAIT, &view->waits);
}

void board_read_instance(const struct board_reader *reader, struct instance_view *view)
{
	const struct master_file *m = reader->master;
	uint32_t state = atomic_load_explicit(&m->head.state, RELAXED);
	struct pool_view pool;

	*view = (struct instance_view){
		.pid = atomic_load_explicit(&m->head.pid, RELAXED),
		.started_usec = atomic_load_explicit(&m->started_usec, RELAXED),
		.state = state < MASTER_STATES ? (enum master_state)state : MASTER_GONE,
	};
	if (!board_master_lives(reader))
		view->state = MASTER_GONE;
	copy_text(view->instance, m->instance, sizeof(view->instance));
	copy_text(view->version, m->version, sizeof(view->version));
	copy_values(view->values, m->values, INSTANCE_FIELDS);
	copy_values(view->connections, m->gone, CONNECTION_FIELDS);
	for (uint32_t i = 0; i < board_pool_count(reader); i++) {
		if (!board_read_pool(reader, i, &pool))
			continue;
		for (size_t f = 0; f < CONNECTION_FIELDS; f++)
			view->connections[f] += pool.connections[f];
	}
}

void board_read_verdict(const struct board_reader *reader, enum verdict_kind kind,
			struct verdict_view *view)
{
	const struct verdict *v = &reader->head->verdicts[kind];
	uint32_t seq;

	for (int i = 0; i < READ_TRIES; i++) {
		seq = seq_read_begin(&v->seq);
		view->begun = atomic_load_explicit(&v->begun, RELAXED);
		view->finished = atomic_load_explicit(&v->finished, RELAXED);
		view->failed = atomic_load_explicit(&v->failed, RELAXED) != 0;
		view->at_usec = atomic_load_explicit(&v->at_usec, RELAXED);
		copy_text(view->text, v->text, sizeof(view->text));
		if (!seq_read_retry(&v->seq, seq))
			return;
	}
}
