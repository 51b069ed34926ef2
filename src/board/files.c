/* SPDX-License-Identifier: ISC */
/* The files of the board: made, adopted, removed. */
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

#define NO_BOARD ((struct board){.master_fd = -1, .workers_fd = -1, .readonly_fd = -1})

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

/* ---- mappings ---- */

static void *map_file(int fd, size_t size)
{
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return map == MAP_FAILED ? NULL : map;
}

/* A worker maps `master` anew, read-only; this mapping would let it write what is not its own. */
static int map_master(struct board *board)
{
	board->master = map_file(board->master_fd, sizeof(struct master_file));
	if (!board->master)
		return -1;
	return madvise(board->master, sizeof(struct master_file), MADV_DONTFORK);
}

static int map_workers(struct board *board)
{
	board->workers = map_file(board->workers_fd, sizeof(struct board_file));
	return board->workers ? 0 : -1;
}

/* Forgets all but the descriptors. */
static void unmap(struct board *board)
{
	if (board->master)
		munmap(board->master, sizeof(struct master_file));
	if (board->workers)
		munmap(board->workers, sizeof(struct board_file));
	free(board->directory);
	*board = NO_BOARD;
}

static void write_header(struct board_header *header, size_t size)
{
	*header = (struct board_header){
		.magic = BOARD_MAGIC,
		.version = BOARD_VERSION,
		.layout = board_layout_hash(),
		.size = size,
	};
}

/* ---- new ---- */

/* A file's path, and its path until it is complete: who has the old file mapped is not disturbed.
 */
struct place {
	char path[4096], draft[4200];
};

static void find_place(struct place *place, const char *directory, const char *name)
{
	snprintf(place->path, sizeof(place->path), "%s/%s", directory, name);
	snprintf(place->draft, sizeof(place->draft), "%s.new", place->path);
}

static int open_draft(const struct place *place, size_t size)
{
	int fd;

	unlink(place->draft);
	fd = open(place->draft, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd >= 0 && (fchmod(fd, 0644) < 0 || ftruncate(fd, (off_t)size) < 0))
		fd_close(&fd);
	return fd;
}

/*
 * From the board that this very process had before it executed itself anew, of whatever layout: the
 * results, for those who wait for them and have not looked yet.
 */
static void carry_verdicts(struct board *board, int old_fd)
{
	struct verdict *verdicts = board->master->head.verdicts;
	const struct master_head *old;
	struct stat st;

	if (fstat(old_fd, &st) < 0 || (size_t)st.st_size < sizeof(*old))
		return;
	old = mmap(NULL, sizeof(*old), PROT_READ, MAP_SHARED, old_fd, 0);
	if (old == MAP_FAILED)
		return;
	if (old->header.magic == BOARD_MAGIC && old->pid == (uint32_t)getpid() &&
	    old->pid_start_ticks == board_start_ticks(getpid()))
		memcpy(verdicts, old->verdicts, sizeof(old->verdicts));
	munmap((void *)(uintptr_t)old, sizeof(*old));
}

static void introduce(struct board *board, const char *instance)
{
	struct master_file *m = board->master;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	write_header(&board->workers->header, sizeof(*board->workers));
	write_header(&m->head.header, sizeof(*m));
	for (size_t i = 0; i < BOARD_SLOTS; i++)
		atomic_store_explicit(&m->owners[i].pool, BOARD_POOLS, RELAXED);
	snprintf(m->instance, sizeof(m->instance), "%s", instance);
	snprintf(m->version, sizeof(m->version), "%s", PACKAGE_VERSION);
	atomic_store_explicit(&m->head.pid_start_ticks, board_start_ticks(getpid()), RELAXED);
	atomic_store_explicit(&m->started_usec,
			      (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000,
			      RELAXED);
	atomic_store_explicit(&m->head.pid, (uint32_t)getpid(), memory_order_release);
}

static int draft_workers(struct board *board, const struct place *place)
{
	board->workers_fd = open_draft(place, sizeof(struct board_file));
	return board->workers_fd < 0 ? -1 : map_workers(board);
}

static int draft_master(struct board *board, const struct place *place)
{
	board->master_fd = open_draft(place, sizeof(struct master_file));
	if (board->master_fd < 0 || take_lock(board->master_fd) < 0 || map_master(board) < 0)
		return -1;
	board->readonly_fd = open(place->draft, O_RDONLY | O_CLOEXEC);
	return board->readonly_fd < 0 ? -1 : 0;
}

/* Both are complete before either is seen. */
static int create_files(struct board *board, const char *instance, int old_fd, struct error *err)
{
	struct place master, workers, *failed = NULL;

	find_place(&master, board->directory, BOARD_MASTER_FILE);
	find_place(&workers, board->directory, BOARD_WORKERS_FILE);
	if (draft_workers(board, &workers) < 0)
		failed = &workers;
	else if (draft_master(board, &master) < 0)
		failed = &master;
	if (!failed) {
		introduce(board, instance);
		carry_verdicts(board, old_fd);
		/* The workers' file first: a reader opens `master`, then `board`. */
		if (rename(workers.draft, workers.path) < 0)
			failed = &workers;
		else if (rename(master.draft, master.path) < 0)
			failed = &master;
	}
	if (!failed)
		return 0;
	error_set(err, error_code_of(errno), "%s: %s", failed->path, strerror(errno));
	unlink(workers.draft);
	unlink(master.draft);
	return -1;
}

int board_create(struct board *board, const char *directory, const char *instance,
		 struct error *err)
{
	char path[4096];
	int old_fd, status;

	*board = NO_BOARD;
	if (make_directory(directory, err) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/%s", directory, BOARD_MASTER_FILE);
	old_fd = lock_current(path, directory, err);
	if (old_fd < 0)
		return -1;
	board->directory = strdup(directory);
	status = board->directory ? create_files(board, instance, old_fd, err)
				  : error_set(err, EX_OSERR, "out of memory");
	if (status < 0) {
		fd_close(&board->readonly_fd);
		fd_close(&board->workers_fd);
		fd_close(&board->master_fd);
		unmap(board);
	}
	fd_close(&old_fd);
	return status;
}

/* ---- adopted ---- */

static int set_cloexec(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFD);

	if (flags < 0)
		return -1;
	return fcntl(fd, F_SETFD, on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC);
}

static int set_all_cloexec(const struct board *board, bool on)
{
	return set_cloexec(board->master_fd, on) | set_cloexec(board->workers_fd, on) |
	       set_cloexec(board->readonly_fd, on);
}

int board_set_inheritable(struct board *board, bool inheritable, struct error *err)
{
	if (set_all_cloexec(board, !inheritable) == 0)
		return 0;
	error_set(err, EX_OSERR, "the board's descriptors: %s", strerror(errno));
	set_all_cloexec(board, true);
	return -1;
}

/*
 * That fd is the file of that name. stat() and not open(): closing another descriptor of `master`
 * would give the lock back.
 */
static int check_file(const char *directory, const char *name, int fd, struct stat *here,
		      struct error *err)
{
	char path[4200];
	struct stat there;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	if (fstat(fd, here) < 0 || lstat(path, &there) < 0)
		return error_set(err, error_code_of(errno), "%s: %s", path, strerror(errno));
	if (here->st_ino != there.st_ino || here->st_dev != there.st_dev)
		return error_set(err, EX_UNAVAILABLE, "%s: another file is there now", path);
	return 0;
}

/* What a cut file has mapped kills who touches it. */
static int check_size(const struct board *board, const char *name, const struct stat *st,
		      size_t size, struct error *err)
{
	if ((size_t)st->st_size == size)
		return 0;
	return error_set(err, EX_DATAERR, "%s/%s: %lld bytes, not %zu", board->directory, name,
			 (long long)st->st_size, size);
}

/* Of `master` alone, which workers cannot write. 1: of our layout; 0: of another; -1 with err. */
static int judge_head(const struct board *board, struct error *err)
{
	struct {
		struct board_header header;
		uint32_t pid;
	} head;

	if (pread(board->master_fd, &head, sizeof(head), 0) != sizeof(head) ||
	    head.header.magic != BOARD_MAGIC)
		return error_set(err, EX_DATAERR, "%s/%s: not a board of preforkd",
				 board->directory, BOARD_MASTER_FILE);
	if (head.pid != (uint32_t)getpid())
		return error_set(err, EX_DATAERR, "%s/%s: the board of another process (pid %u)",
				 board->directory, BOARD_MASTER_FILE, head.pid);
	return head.header.version == BOARD_VERSION && head.header.layout == board_layout_hash() &&
	       head.header.size == sizeof(struct master_file);
}

/* As judge_head(). */
static int judge_files(const struct board *board, struct error *err)
{
	struct stat master, workers, readonly;
	int ours;

	if (check_file(board->directory, BOARD_MASTER_FILE, board->master_fd, &master, err) < 0 ||
	    check_file(board->directory, BOARD_MASTER_FILE, board->readonly_fd, &readonly, err) <
		    0 ||
	    check_file(board->directory, BOARD_WORKERS_FILE, board->workers_fd, &workers, err) < 0)
		return -1;
	if ((fcntl(board->readonly_fd, F_GETFL) & O_ACCMODE) != O_RDONLY)
		return error_set(err, EX_DATAERR, "%s/%s: descriptor %d can write",
				 board->directory, BOARD_MASTER_FILE, board->readonly_fd);
	/* It is ours already, unless a descriptor was closed on the way. */
	if (take_lock(board->master_fd) < 0)
		return already_running(board->master_fd, board->directory, err);
	ours = judge_head(board, err);
	if (ours > 0 &&
	    (check_size(board, BOARD_MASTER_FILE, &master, sizeof(struct master_file), err) < 0 ||
	     check_size(board, BOARD_WORKERS_FILE, &workers, sizeof(struct board_file), err) < 0))
		return -1;
	return ours;
}

static int take_over(struct board *board, struct error *err)
{
	if (set_all_cloexec(board, true) < 0 || map_master(board) < 0 || map_workers(board) < 0)
		return error_set(err, EX_OSERR, "%s: the board: %s", board->directory,
				 strerror(errno));
	/* A worker may have written over it. */
	write_header(&board->workers->header, sizeof(*board->workers));
	snprintf(board->master->version, sizeof(board->master->version), "%s", PACKAGE_VERSION);
	return 1;
}

int board_adopt(struct board *board, const char *directory, int master_fd, int workers_fd,
		int readonly_fd, struct error *err)
{
	int result;

	*board = (struct board){.master_fd = master_fd,
				.workers_fd = workers_fd,
				.readonly_fd = readonly_fd,
				.directory = strdup(directory)};
	if (board->directory)
		result = judge_files(board, err);
	else
		result = error_set(err, EX_OSERR, "out of memory");
	if (result > 0)
		result = take_over(board, err);
	if (result <= 0)
		unmap(board);
	return result;
}

/* ---- the end ---- */

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
	fd_close(&board->workers_fd);
	/* Any descriptor of `master` gives the POSIX lock back when it is closed: both at the end.
	 */
	fd_close(&board->readonly_fd);
	fd_close(&board->master_fd);
	unmap(board);
}
