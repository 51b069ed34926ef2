/* SPDX-License-Identifier: ISC */
/*
 * The queue M/M/N: clients that come at random, N workers, one queue without a limit. `load` is in
 * erlangs: clients a second times seconds each, which is how many workers are busy on average.
 */
#ifndef VIEW_ERLANG_H
#define VIEW_ERLANG_H

#include <stdint.h>

/* The chance that a client finds all workers busy, and goes away (Erlang's B). */
double erlang_b(uint64_t workers, double load);
/* The chance that it finds them busy, and waits (Erlang's C). 1 where the load is too much. */
double erlang_c(uint64_t workers, double load);
/* How long it waits on average, those that do not wait included, in units of the time that a client
 * takes; INFINITY where the load is too much. `scv`: the squared coefficient of variation of that
 * time, 1 for Erlang's exponential one; for any other it is an approximation. */
double erlang_wait(uint64_t workers, double load, double scv);
/* The least number of workers with which the chance of waiting is at most `chance`, more than 0;
 * from 1 to ERLANG_WORKERS_MAX, or 0: not even with that many. */
#define ERLANG_WORKERS_MAX 1000000
uint64_t erlang_workers(double load, double chance);

#endif
