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
/* Who the client is, on a Unix socket. */
void slot_set_uid(struct slot *slot, uint32_t uid);
/*
 * How many clients of this pool are being served that come from where the one of this slot does,
 * itself included: the same address, on a Unix socket the same uid. Looks at the first 1024 slots
 * that were ever used. Others write meanwhile: a count of a moment.
 */
unsigned slot_count_source(const struct slot *slot, size_t index, const struct master_file *master);
void slot_leaving(struct slot *slot);
void slot_count(struct slot *slot, enum connection_field field);

#endif
