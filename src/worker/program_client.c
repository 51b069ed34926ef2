/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <unistd.h>

#include "base/address.h"
#include "board/write.h"
#include "worker/loop.h"
#include "worker/overtime.h"
#include "worker/program_client.h"
#include "worker/queued.h"

void program_client_begin(struct program_client *c, const struct loop *loop)
{
	const struct worker_job *job = loop->job;
	struct ucred who = {.uid = (uid_t)-1};
	socklen_t size = sizeof(who);

	c->begun_usec = loop_now();
	if (c->peer_len > sizeof(c->peer))
		c->peer_len = sizeof(c->peer);
	if (c->peer.any.sa_family == AF_INET6)
		c->peer_len = address_unmap(&c->peer.any, c->peer_len);
	slot_begin(job->slot, &c->peer.any, c->peer_len, c->begun_usec);
	if (loop->samples_wait)
		times_waited(queued_told(c->fd));
	if (c->peer.any.sa_family == AF_UNIX &&
	    getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0)
		slot_set_uid(job->slot, who.uid);
}

void program_client_end(const struct program_client *c, const struct worker_job *job,
			enum connection_field outcome, struct log_about *about)
{
	char peer[ADDRESS_TEXT_MAX];
	uint64_t end;

	if (c->fd >= 0)
		close(c->fd);
	end = loop_now();
	slot_end(job->slot, outcome, end);
	if (!job->log_connections)
		return;
	about->timed = true;
	about->duration_usec = end - c->begun_usec;
	about->source = address_format_peer(&c->peer.any, c->peer_len, peer);
	log_event(LOG_LEVEL_INFO, MESSAGE_connection, about, "client %s: %s after %llu.%03llu ms",
		  peer, connection_fields[outcome].name,
		  (unsigned long long)about->duration_usec / 1000,
		  (unsigned long long)about->duration_usec % 1000);
}

void program_client_tell_timeout(const struct program_client *c, const struct worker_job *job,
				 pid_t pid, struct log_about *about)
{
	overtime_tell_program(job, pid, &c->peer.any, c->peer_len, c->begun_usec, about);
}
