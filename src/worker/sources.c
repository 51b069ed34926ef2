/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <netinet/in.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "base/siphash.h"
#include "worker/sources.h"
#include "worker/sources_table.h"

#define TRIES         64
#define NSEC_PER_USEC UINT64_C(1000)
#define SAY_USEC      UINT64_C(1000000)

/* ---- tags ---- */

uint64_t sources_tag(const struct sources *s, const struct sockaddr *peer, uint32_t uid)
{
	const struct sockaddr_in *in = (const void *)peer;
	const struct sockaddr_in6 *in6 = (const void *)peer;
	uint64_t kind = AF_UNIX, value = uid, tag;

	if (peer->sa_family == AF_INET || peer->sa_family == AF_INET6)
		kind = peer->sa_family;
	if (kind == AF_INET)
		value = in->sin_addr.s_addr;
	if (kind == AF_INET6)
		memcpy(&value, &in6->sin6_addr, sizeof(value));
	tag = siphash(s->key, kind, value);
	return tag ? tag : 1;
}

/* ---- held: whose the entry is (28 bits of the tag), a number that every change raises (20 bits),
 * the connections (16 bits) ---- */

#define OWNER_SHIFT   36
#define VERSION_SHIFT 16
#define VERSION_MASK  UINT64_C(0xfffff)
#define COUNT_MASK    UINT64_C(0xffff)

static bool is_of(uint64_t held, uint64_t tag)
{
	return held >> OWNER_SHIFT == tag >> OWNER_SHIFT;
}

static unsigned count_of(uint64_t held)
{
	return (unsigned)(held & COUNT_MASK);
}

static uint64_t next_held(uint64_t held, uint64_t tag, unsigned count)
{
	uint64_t version = ((held >> VERSION_SHIFT) + 1) & VERSION_MASK;

	return tag >> OWNER_SHIFT << OWNER_SHIFT | version << VERSION_SHIFT | count;
}

/* ---- entries ---- */

static struct set *set_of(const struct sources *s, uint64_t tag)
{
	return &s->shared->sets[tag % SETS];
}

/* The tag alone may be of one whose entry another is about to take. */
static bool is_at(const struct set *set, unsigned way, uint64_t tag)
{
	return atomic_load(&set->tag[way]) == tag && is_of(atomic_load(&set->held[way]), tag);
}

static int find(const struct set *set, uint64_t tag)
{
	for (unsigned i = 0; i < WAYS; i++)
		if (is_at(set, i, tag))
			return (int)i;
	return -1;
}

/* The first that is free, else the one that owes least of those without a connection. */
static int choose(const struct set *set, uint64_t now)
{
	uint64_t least = UINT64_MAX;
	int chosen = -1;

	for (unsigned i = 0; i < WAYS; i++) {
		uint64_t time = atomic_load(&set->time[i]);

		if (count_of(atomic_load(&set->held[i])) > 0 || time >= least)
			continue;
		chosen = (int)i;
		if (time <= now)
			break;
		least = time;
	}
	return chosen;
}

/* Taking `held` is what decides: who looks at the old tag meanwhile finds it changed. */
static bool claim(struct set *set, unsigned way, uint64_t tag, uint64_t now)
{
	uint64_t held = atomic_load(&set->held[way]);

	if (count_of(held) > 0 ||
	    !atomic_compare_exchange_strong(&set->held[way], &held, next_held(held, tag, 0)))
		return false;
	/* Another time than any it had, so that who had read that cannot change it. */
	atomic_store(&set->time[way], now);
	atomic_store(&set->tag[way], tag);
	return true;
}

/* Two that looked at the same time may both have claimed one: both see it then, or the later. */
static bool is_double(struct set *set, unsigned way, uint64_t tag)
{
	bool found = false;
	uint64_t held;

	for (unsigned i = 0; i < WAYS; i++)
		found |= i != way && is_at(set, i, tag);
	if (!found)
		return false;
	held = atomic_load(&set->held[way]);
	if (is_of(held, tag) && count_of(held) == 0)
		atomic_compare_exchange_strong(&set->held[way], &held, next_held(held, ~tag, 0));
	return true;
}

/* Returns its number, or SOURCES_NONE when each of the others in its set has connections. */
static uint32_t enter(struct sources *s, uint64_t tag, uint64_t now)
{
	struct set *set = set_of(s, tag);

	for (int i = 0; i < TRIES; i++) {
		int way = find(set, tag);

		if (way >= 0)
			return (uint32_t)(tag % SETS * WAYS) + (uint32_t)way;
		way = choose(set, now);
		if (way < 0)
			return SOURCES_NONE;
		if (claim(set, (unsigned)way, tag, now))
			is_double(set, (unsigned)way, tag);
	}
	return SOURCES_NONE;
}

static word *held_at(const struct sources *s, uint32_t entry)
{
	return &s->shared->sets[entry / WAYS].held[entry % WAYS];
}

/* ---- how fast ---- */

/*
 * The generic cell rate algorithm: one word says until when a bucket is not full, which is as good
 * as the tokens in it and when they were counted, and can be changed at once.
 */
struct pace {
	uint64_t cost, full; /* nanoseconds: of a token, of all that fit */
};

static struct pace pace_of(const struct rate *rate)
{
	uint64_t cost = rate->per_usec * NSEC_PER_USEC / rate->count;

	return (struct pace){.cost = cost, .full = cost * rate->count};
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Until there are `tokens`, in microseconds. */
static uint64_t owed(const struct pace *pace, uint64_t time, uint64_t tokens, uint64_t now)
{
	uint64_t next = later(time, now) + tokens * pace->cost;

	if (next <= now + pace->full)
		return 0;
	return (next - now - pace->full + NSEC_PER_USEC - 1) / NSEC_PER_USEC;
}

uint64_t sources_rate_tokens(const struct sources *s, const struct rate *rate, uint64_t now_usec)
{
	const struct pace pace = pace_of(rate);
	uint64_t now = now_usec * NSEC_PER_USEC;
	uint64_t time = atomic_load_explicit(&s->shared->rate, memory_order_relaxed);

	time = later(time, now);
	return time > now + pace.full ? 0 : (now + pace.full - time) / pace.cost;
}

uint64_t sources_rate_due(const struct sources *s, const struct rate *rate, uint64_t tokens,
			  uint64_t now_usec)
{
	const struct pace pace = pace_of(rate);

	return owed(&pace, atomic_load_explicit(&s->shared->rate, memory_order_relaxed), tokens,
		    now_usec * NSEC_PER_USEC);
}

uint64_t sources_rate_take(struct sources *s, const struct rate *rate, uint64_t now_usec)
{
	const struct pace pace = pace_of(rate);
	uint64_t now = now_usec * NSEC_PER_USEC;
	uint64_t time = atomic_load(&s->shared->rate);

	while (!atomic_compare_exchange_weak(&s->shared->rate, &time, later(time, now) + pace.cost))
		;
	atomic_store_explicit(&s->shared->taken_usec, now_usec, memory_order_relaxed);
	return owed(&pace, time, 1, now);
}

bool sources_rate_rests(const struct sources *s, const struct rate *rate, uint64_t now_usec,
			uint64_t usec)
{
	uint64_t taken = atomic_load_explicit(&s->shared->taken_usec, memory_order_relaxed);

	return taken + usec <= now_usec && sources_rate_tokens(s, rate, now_usec) > 0;
}

void sources_rate_reset(struct sources *s)
{
	atomic_store(&s->shared->rate, 0);
}

static bool pass(word *at, const struct pace *pace, uint64_t now)
{
	uint64_t time = atomic_load(at), from;

	do {
		from = later(time, now);
		/* Of a rate that was slower: it owes no more than it can at this one. */
		if (from > now + pace->full)
			from = now + pace->full;
		if (from + pace->cost > now + pace->full)
			return false;
	} while (!atomic_compare_exchange_weak(at, &time, from + pace->cost));
	return true;
}

bool sources_pass(struct sources *s, uint64_t tag, const struct rate *rate, uint64_t now_usec)
{
	const struct pace pace = pace_of(rate);
	uint64_t now = now_usec * NSEC_PER_USEC;
	uint32_t entry = enter(s, tag, now);

	if (entry == SOURCES_NONE)
		return true;
	return pass(&s->shared->sets[entry / WAYS].time[entry % WAYS], &pace, now);
}

/* ---- how many ---- */

struct source_hold sources_hold(struct sources *s, uint64_t tag, uint64_t now_usec)
{
	for (int i = 0; i < TRIES; i++) {
		uint32_t entry = enter(s, tag, now_usec * NSEC_PER_USEC);
		word *at;
		uint64_t held, next;

		if (entry == SOURCES_NONE)
			break;
		at = held_at(s, entry);
		held = atomic_load(at);
		while (is_of(held, tag) && count_of(held) < COUNT_MASK) {
			next = next_held(held, tag, count_of(held) + 1);
			if (atomic_compare_exchange_weak(at, &held, next))
				return (struct source_hold){entry, next};
		}
	}
	return (struct source_hold){.entry = SOURCES_NONE};
}

unsigned source_hold_count(const struct source_hold *hold)
{
	return count_of(hold->word);
}

void sources_release(struct sources *s, uint64_t tag, struct source_hold *hold)
{
	word *at;
	uint64_t held, next;

	if (hold->entry == SOURCES_NONE)
		return;
	at = held_at(s, hold->entry);
	held = atomic_load(at);
	while (is_of(held, tag) && count_of(held) > 0) {
		next = next_held(held, tag, count_of(held) - 1);
		if (atomic_compare_exchange_weak(at, &held, next)) {
			hold->word = next;
			return;
		}
	}
}

void sources_correct(struct sources *s, uint64_t tag, const struct source_hold *hold,
		     unsigned count)
{
	uint64_t held = hold->word;

	if (hold->entry != SOURCES_NONE && count < count_of(held))
		atomic_compare_exchange_strong(held_at(s, hold->entry), &held,
					       next_held(held, tag, count));
}

/* ---- what is said of them ---- */

bool sources_may_tell(struct sources *s, uint64_t tag, uint64_t now_usec, unsigned *suppressed)
{
	static const struct pace pace = {.cost = SAY_USEC * NSEC_PER_USEC / SOURCES_LINES,
					 .full = SAY_USEC * NSEC_PER_USEC};
	struct said *said = &s->shared->said[tag % SAID];
	uint64_t next = atomic_load(&said->next_usec);

	if (now_usec < next ||
	    !atomic_compare_exchange_strong(&said->next_usec, &next, now_usec + SAY_USEC) ||
	    !pass(&s->shared->said_at, &pace, now_usec * NSEC_PER_USEC)) {
		atomic_fetch_add(&said->suppressed, 1);
		return false;
	}
	*suppressed = (unsigned)atomic_exchange(&said->suppressed, 0);
	return true;
}
