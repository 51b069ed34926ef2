/* SPDX-License-Identifier: ISC */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include <stdint.h>

/* SipHash-1-3 of sixteen bytes, as two numbers: who does not know the key cannot choose values that
 * collide. */
uint64_t siphash(const uint64_t key[2], uint64_t first, uint64_t second);

#endif
