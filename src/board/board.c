/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "board/board.h"
#include "board/seqlock.h"
#include "board/ticks.h"

static uint64_t clock_usec(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* ---- the files ---- */

static int make_directory(const char *directory, struct error *err)
{
	char path[4096];

	if (snprintf(path, sizeof(path), "%s", directory) >= (int)sizeof(path))
		return error_set(err, EX_CONFIG, "runtime directory: the path is too long");
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		mkdir(path, 0755);
		*p = '/';
	}
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return error_set(err, error_code_of(errno), "runtime directory %s: %s", directory,
				 strerror(errno));
	return 0;
}

static int take_lock(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return fcntl(fd, F_SETLK, &lock);
}

static int already_running(int fd, const char *directory, struct error *err)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	fcntl(fd, F_GETLK, &lock);
	return error_set(err, EX_UNAVAILABLE, "%s: preforkd is already running there (pid %d)",
			 directory, (int)lock.l_pid);
}

/*
 * The lock of the file that is at `path` now: held while it is replaced, so that of two masters
 * that start at once only one goes on. Returns its descriptor, or -1 with err.
 */
static int lock_current(const char *path, const char *directory, struct error *err)
{
	struct stat here, there;
	int fd;

	for (;;) {
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
		if (fd < 0)
			return error_set(err, error_code_of(errno), "%s: %s", path,
					 strerror(errno));
		if (take_lock(fd) < 0) {
			already_running(fd, directory, err);
			fd_close(&fd);
			return -1;
		}
		if (fstat(fd, &here) == 0 && stat(path, &there) == 0 && here.st_ino == there.st_ino)
			return fd;
		fd_close(&fd);
	}
}

static void *map_new(int fd, size_t size)
{
	void *map;

	if (fchmod(fd, 0644) < 0 || ftruncate(fd, (off_t)size) < 0)
		return NULL;
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return NULL;
	*(struct board_header *)map = (struct board_header){
		.magic = BOARD_MAGIC,
		.version = BOARD_VERSION,
		.layout = board_layout_hash(),
		.size = size,
	};
	return map;
}

/* A new file under another name, so that who has the old one mapped is not disturbed. */
static void *create_file(const char *path, size_t size, int *fd, struct error *err)
{
	char draft[4200];
	void *map = NULL;

	snprintf(draft, sizeof(draft), "%s.new", path);
	unlink(draft);
	*fd = open(draft, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (*fd >= 0 && take_lock(*fd) == 0)
		map = map_new(*fd, size);
	if (!map || rename(draft, path) < 0) {
		error_set(err, error_code_of(errno), "%s: %s", path, strerror(errno));
		unlink(draft);
		fd_close(fd);
		return NULL;
	}
	return map;
}

static void introduce(struct board *board, const char *instance)
{
	struct master_file *m = board->master;

	for (size_t i = 0; i < BOARD_SLOTS; i++)
		atomic_store_explicit(&m->owners[i].pool, BOARD_POOLS, RELAXED);
	snprintf(m->instance, sizeof(m->instance), "%s", instance);
	snprintf(m->version, sizeof(m->version), "%s", PACKAGE_VERSION);
	atomic_store_explicit(&m->pid_start_ticks, board_start_ticks(getpid()), RELAXED);
	atomic_store_explicit(&m->started_usec, clock_usec(CLOCK_REALTIME), RELAXED);
	atomic_store_explicit(&m->pid, (uint32_t)getpid(), memory_order_release);
}

static int create_files(struct board *board, const char *master_path, struct error *err)
{
	char path[4096];
	int fd;

	/* The workers' file first: a reader opens `master`, then `board`. */
	snprintf(path, sizeof(path), "%s/%s", board->directory, BOARD_WORKERS_FILE);
	board->workers = create_file(path, sizeof(struct board_file), &fd, err);
	if (!board->workers)
		return -1;
	fd_close(&fd);
	board->master =
		create_file(master_path, sizeof(struct master_file), &board->master_fd, err);
	if (!board->master)
		return -1;
	/* A worker maps it anew, read-only; this mapping would let it write what is not its own. */
	if (madvise(board->master, sizeof(struct master_file), MADV_DONTFORK) < 0)
		return error_set(err, EX_OSERR, "%s: madvise: %s", master_path, strerror(errno));
	board->readonly_fd = open(master_path, O_RDONLY | O_CLOEXEC);
	if (board->readonly_fd < 0)
		return error_set(err, EX_OSERR, "%s: %s", master_path, strerror(errno));
	return 0;
}

int board_create(struct board *board, const char *directory, const char *instance,
		 struct error *err)
{
	char path[4096];
	int old_fd, status;

	*board = (struct board){.master_fd = -1, .readonly_fd = -1};
	if (make_directory(directory, err) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/%s", directory, BOARD_MASTER_FILE);
	old_fd = lock_current(path, directory, err);
	if (old_fd < 0)
		return -1;
	board->directory = strdup(directory);
	status = board->directory ? create_files(board, path, err)
				  : error_set(err, EX_OSERR, "out of memory");
	if (status == 0)
		introduce(board, instance);
	fd_close(&old_fd);
	return status;
}

void board_remove(struct board *board)
{
	const char *names[] = {BOARD_WORKERS_FILE, BOARD_MASTER_FILE};
	char path[4096];

	if (!board->master)
		return;
	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", board->directory, names[i]);
		unlink(path);
	}
	munmap(board->master, sizeof(struct master_file));
	munmap(board->workers, sizeof(struct board_file));
	/* Any descriptor of the file gives the POSIX lock back when it is closed: both at the end.
	 */
	fd_close(&board->readonly_fd);
	fd_close(&board->master_fd);
	free(board->directory);
	*board = (struct board){.master_fd = -1, .readonly_fd = -1};
}

/* ---- the instance ---- */

static void store_add(board_u64 *value, uint64_t count)
{
	atomic_store_explicit(value, atomic_load_explicit(value, RELAXED) + count, RELAXED);
}

void board_set_log_level(struct board *board, unsigned level)
{
	atomic_store_explicit(&board->master->log_level, level, RELAXED);
}

void board_set_state(struct board *board, enum master_state state)
{
	atomic_store_explicit(&board->master->state, state, RELAXED);
}

void board_set(struct board *board, enum instance_field field, uint64_t value)
{
	atomic_store_explicit(&board->master->values[field], value, RELAXED);
}

void board_add(struct board *board, enum instance_field field, uint64_t count)
{
	store_add(&board->master->values[field], count);
}

/* ---- pools ---- */

static bool pool_is(const struct pool_record *pool, const char *service, const char *address)
{
	return atomic_load_explicit(&pool->used, RELAXED) && strcmp(pool->service, service) == 0 &&
	       strcmp(pool->address, address) == 0;
}

static void raise_high(board_u32 *high, uint32_t index)
{
	if (atomic_load_explicit(high, RELAXED) <= index)
		atomic_store_explicit(high, index + 1, memory_order_release);
}

int board_pool_open(struct board *board, const char *service, const char *address,
		    const char *handler)
{
	struct master_file *m = board->master;
	int free_index = -1;

	for (int i = BOARD_POOLS - 1; i >= 0; i--) {
		if (pool_is(&m->pools[i], service, address))
			return i;
		if (!atomic_load_explicit(&m->pools[i].used, RELAXED))
			free_index = i;
	}
	if (free_index < 0)
		return -1;
	snprintf(m->pools[free_index].service, BOARD_NAME_MAX, "%s", service);
	snprintf(m->pools[free_index].address, BOARD_ADDRESS_MAX, "%s", address);
	snprintf(m->pools[free_index].handler, BOARD_NAME_MAX, "%s", handler);
	atomic_store_explicit(&m->pools[free_index].used, 1, memory_order_release);
	raise_high(&m->pools_high, (uint32_t)free_index);
	return free_index;
}

void board_pool_set_handler(struct board *board, int pool, const char *handler)
{
	snprintf(board->master->pools[pool].handler, BOARD_NAME_MAX, "%s", handler);
}

void board_pool_close(struct board *board, int index)
{
	struct pool_record *pool = &board->master->pools[index];

	seq_write_begin(&pool->seq);
	for (size_t f = 0; f < CONNECTION_FIELDS; f++) {
		store_add(&board->master->gone[f], atomic_load_explicit(&pool->totals[f], RELAXED));
		atomic_store_explicit(&pool->totals[f], 0, RELAXED);
	}
	for (size_t f = 0; f < POOL_FIELDS; f++)
		atomic_store_explicit(&pool->values[f], 0, RELAXED);
	atomic_store_explicit(&pool->used, 0, RELAXED);
	seq_write_end(&pool->seq);
}

void board_pool_set(struct board *board, int pool, enum pool_field field, uint64_t value)
{
	atomic_store_explicit(&board->master->pools[pool].values[field], value, RELAXED);
}

void board_pool_add(struct board *board, int pool, enum pool_field field, uint64_t count)
{
	store_add(&board->master->pools[pool].values[field], count);
}

void board_udp_port(struct board *board, unsigned port, int ours)
{
	board_u64 *word = &board->master->udp_ports[port / 64 % 1024];
	uint64_t bit = UINT64_C(1) << (port % 64);

	if (ours)
		atomic_fetch_or_explicit(word, bit, RELAXED);
	else
		atomic_fetch_and_explicit(word, ~bit, RELAXED);
}

/* ---- slots ---- */

int board_slot_take(struct board *board, int pool, uint32_t generation)
{
	struct master_file *m = board->master;
	uint32_t i = 0;

	while (i < BOARD_SLOTS && atomic_load_explicit(&m->owners[i].pool, RELAXED) < BOARD_POOLS)
		i++;
	if (i == BOARD_SLOTS)
		return -1;
	memset(&board->workers->slots[i], 0, sizeof(struct slot));
	atomic_store_explicit(&board->workers->slots[i].state, SLOT_STARTING, RELAXED);
	atomic_store_explicit(&m->owners[i].word, WORD_SERVE, RELAXED);
	atomic_store_explicit(&m->owners[i].leaving, 0, RELAXED);
	atomic_store_explicit(&m->owners[i].pid, 0, RELAXED);
	atomic_store_explicit(&m->owners[i].generation, generation, RELAXED);
	atomic_store_explicit(&m->owners[i].started_usec, clock_usec(CLOCK_MONOTONIC), RELAXED);
	atomic_store_explicit(&m->owners[i].pool, (uint32_t)pool, memory_order_release);
	raise_high(&m->slots_high, i);
	return (int)i;
}

void board_slot_set_pid(struct board *board, int slot, uint32_t pid)
{
	atomic_store_explicit(&board->master->owners[slot].pid, pid, memory_order_release);
}

void board_slot_tell(struct board *board, int slot, enum slot_word word)
{
	atomic_store_explicit(&board->master->owners[slot].leaving, word == WORD_LEAVE, RELAXED);
	atomic_store_explicit(&board->master->owners[slot].word, word, memory_order_seq_cst);
}

enum slot_state board_slot_state(const struct board *board, int slot)
{
	uint32_t state = atomic_load_explicit(&board->workers->slots[slot].state, RELAXED);

	return state < SLOT_STATES ? (enum slot_state)state : SLOT_FREE;
}

uint64_t board_slot_accepted(const struct board *board, int slot)
{
	return atomic_load_explicit(&board->workers->slots[slot].values[CONN_accepted], RELAXED);
}

uint64_t board_accepted_by_the_gone(const struct board *board)
{
	const struct master_file *m = board->master;
	uint32_t high = atomic_load_explicit(&m->pools_high, RELAXED);
	uint64_t sum = atomic_load_explicit(&m->gone[CONN_accepted], RELAXED);

	for (uint32_t i = 0; i < high && i < BOARD_POOLS; i++)
		sum += atomic_load_explicit(&m->pools[i].totals[CONN_accepted], RELAXED);
	return sum;
}

int board_slot_fold(struct board *board, int index)
{
	struct slot_owner *owner = &board->master->owners[index];
	struct slot *slot = &board->workers->slots[index];
	struct pool_record *pool =
		&board->master->pools[atomic_load_explicit(&owner->pool, RELAXED) % BOARD_POOLS];
	uint64_t values[CONNECTION_FIELDS], open;

	for (size_t f = 0; f < CONNECTION_FIELDS; f++)
		values[f] = atomic_load_explicit(&slot->values[f], RELAXED);
	/* A worker has one client at most: more is a slot that was written over. */
	open = board_open_connections(values);
	seq_write_begin(&pool->seq);
	if (open <= 1) {
		for (size_t f = 0; f < CONNECTION_FIELDS; f++)
			store_add(&pool->totals[f], values[f]);
		store_add(&pool->totals[CONN_aborted_death], open);
	}
	atomic_store_explicit(&owner->pid, 0, RELAXED);
	atomic_store_explicit(&owner->pool, BOARD_POOLS, RELAXED);
	seq_write_end(&pool->seq);
	return open > 1 ? -1 : (int)open;
}

/* ---- verdicts ---- */

uint32_t board_verdict_begin(struct board *board, enum verdict_kind kind)
{
	struct verdict *v = &board->master->verdicts[kind];
	uint32_t number = atomic_load_explicit(&v->begun, RELAXED) + 1;

	atomic_store_explicit(&v->begun, number, memory_order_release);
	return number;
}

void board_verdict_finish(struct board *board, enum verdict_kind kind, int failed, const char *text)
{
	struct verdict *v = &board->master->verdicts[kind];

	seq_write_begin(&v->seq);
	atomic_store_explicit(&v->finished, atomic_load_explicit(&v->begun, RELAXED), RELAXED);
	atomic_store_explicit(&v->failed, failed != 0, RELAXED);
	atomic_store_explicit(&v->at_usec, clock_usec(CLOCK_REALTIME), RELAXED);
	snprintf(v->text, sizeof(v->text), "%s", text);
	seq_write_end(&v->seq);
}
