/* SPDX-License-Identifier: ISC */
/*
 * The native protocol of systemd-journald (systemd.io/JOURNAL_NATIVE_PROTOCOL): an entry is one
 * datagram of fields. libsystemd's sd_journal_send() waits for a journald that has stalled; here
 * what does not go out at once fails.
 */
#ifndef BASE_JOURNAL_H
#define BASE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* Room for a line of the log and what it is about. */
struct journal_entry {
	size_t used;
	char data[4096];
};

/* True when JOURNAL_STREAM names what the descriptor is: systemd connected it to the journal. */
bool journal_is(int fd);
/* A socket connected to journald, close-on-exec. Returns -1 with errno. */
int journal_open(const char *path);
/* Adds a field; one that does not fit any more is left out. The key is upper-case ASCII. */
void journal_add(struct journal_entry *entry, const char *key, const char *value, size_t size);
void journal_add_text(struct journal_entry *entry, const char *key, const char *value);
void journal_add_number(struct journal_entry *entry, const char *key, uint64_t value);
/* Never waits. Connects again to path when journald has made itself a new socket. Returns 0, or -1
 * with errno. */
int journal_send(int fd, const char *path, const struct journal_entry *entry);

#endif
