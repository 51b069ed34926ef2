/* SPDX-License-Identifier: ISC */
/* The FD store of the service manager: the listeners that preforkd bound, so that a restart or a
 * crash refuses nobody. sd_notify(3), FileDescriptorStoreMax= of systemd.service(5). */
#ifndef MASTER_STORE_H
#define MASTER_STORE_H

#include "master/listener.h"
#include "master/master.h"

/* Stores what serves and is not stored yet under the name of its service and address. */
void store_sync(struct master *m);
/* Has the next store_sync() store all anew: what it stored before may not have arrived. A second
 * copy is ignored. */
void store_again(struct master *m);
/* Takes a listener out that nobody keeps. */
void store_drop(struct master *m, struct listener *listener);
/* Once it is known who wants what: closes what came from the store and nothing claims. Returns how
 * many. */
unsigned store_drop_unclaimed(struct master *m);

#endif
