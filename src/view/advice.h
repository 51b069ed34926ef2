/* SPDX-License-Identifier: ISC */
/* How many workers a pool needs, by Erlang's model. */
#ifndef VIEW_ADVICE_H
#define VIEW_ADVICE_H

#include "view/rates.h"

/* Where the model does not hold, or the numbers are not what they seem. */
enum advice_warning {
	ADVICE_UNSEEN,     /* an acceptor: nothing else is set */
	ADVICE_NOTHING,    /* nobody came */
	ADVICE_FEW,        /* too few clients */
	ADVICE_SATURATED,  /* clients waited: the rate is what was served, the number a least one */
	ADVICE_HEAVY_TAIL, /* a few clients take very long */
	ADVICE_UNSTEADY,   /* clients come in bursts, or the rate changed */
	ADVICE_LONG,       /* clients take so long that few of them ended */
	ADVICE_DATAGRAMS,  /* what the kernel dropped is not seen */
	ADVICE_WARNINGS
};
extern const char *const advice_warning_names[ADVICE_WARNINGS];
/* For people: what it means. */
extern const char *const advice_warning_texts[ADVICE_WARNINGS];

struct advice {
	double rate;     /* clients a second */
	double time;     /* seconds that each takes, on average */
	double scv;      /* the squared coefficient of variation of that */
	double load;     /* erlangs */
	double chance;   /* of waiting that is wanted */
	uint64_t needed; /* workers for it; 0: more than any machine has */
	uint64_t there;  /* workers_max; 0: nothing is known of a pool */
	/* With those that are needed, and with those that are there: */
	double needed_chance, needed_wait;
	double there_chance, there_wait; /* seconds on average; INFINITY: the queue grows */
	unsigned warnings;               /* a bit for each */
};

/* A line of the configuration for each; 0 spare: a fixed pool. */
struct advice_keys {
	uint64_t workers, workers_max, spare;
};

/* Without a pool: clients of this rate, and this time each. */
struct advice advice_of(double rate, double time, double scv, double chance, uint64_t there);
/* What looks in between tell. */
struct advice_meanwhile {
	/* Variance by mean of the numbers of clients that came in equal parts of the interval; NAN:
	 * not known. */
	double dispersion;
	bool saturated; /* at any of them */
};
struct advice advice_compute(const struct pool_view *before, const struct pool_view *now,
			     const struct pool_rates *rates,
			     const struct advice_meanwhile *meanwhile, double chance);
struct advice_keys advice_keys(const struct advice *advice);
bool advice_warns(const struct advice *advice, enum advice_warning warning);
/* True when the pool has fewer workers than it needs, as far as is known. */
bool advice_is_short(const struct advice *advice);
/* The squared coefficient of variation; 1 of an empty one. */
double advice_scv(const struct histogram *times);

#endif
