/* SPDX-License-Identifier: ISC */
/* A worker's writes into its own slot. In the hot path: plain stores, no lock, no system call. */
#ifndef BOARD_WRITE_H
#define BOARD_WRITE_H

#include <sys/socket.h>

#include "board/layout.h"

/* Ready to take clients. */
void slot_ready(struct slot *slot, uint64_t now_usec);
/* A client was taken: counted as accepted, shown with its address. */
void slot_begin(struct slot *slot, const struct sockaddr *peer, socklen_t len, uint64_t now_usec);
/* The client is done: counted as outcome (finished, refused_..., timed_out, aborted_error). Adds
 * the time since slot_begin to busy_usec. */
void slot_end(struct slot *slot, enum connection_field outcome, uint64_t now_usec);
/* The client is somebody else than the peer: who it is was announced, but for its user. */
void slot_set_peer(struct slot *slot, const struct sockaddr *peer, socklen_t len);
/* Who the client is, on a Unix socket. */
void slot_set_uid(struct slot *slot, uint32_t uid);
/*
 * How many clients of this pool are being served that come from where the one of this slot does,
 * itself included: the same address, on a Unix socket the same uid. Looks at the first 1024 slots
 * that were ever used. Others write meanwhile: a count of a moment.
 */
unsigned slot_count_source(const struct slot *slot, size_t index, const struct master_file *master);
/* The client counts for per_source, by its source's tag; 0: it does not, or no more. */
void slot_set_source(struct slot *slot, uint64_t tag);
/* How many clients of this service count for that source. `slot` is any of its slots. Whoever sets
 * the tag of its own slot before it counts is seen by all that do so afterwards. */
unsigned slot_count_tag(const struct slot *slot, size_t index, const struct master_file *master,
			uint64_t tag);
/* How many idle workers of this service come before that of the slot, at most `most`. */
uint64_t slot_count_idle_before(const struct slot *slot, size_t index,
				const struct master_file *master, uint64_t most);
/* Where this process adds how long connections took; NULL: nowhere. */
void times_use(struct times *times);
/* A client has waited so long in the kernel's queue. */
void times_waited(uint64_t usec);
void slot_leaving(struct slot *slot);
void slot_count(struct slot *slot, enum connection_field field);

#endif
