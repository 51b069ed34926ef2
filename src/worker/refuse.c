/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <stdio.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/log.h"
#include "worker/refuse.h"

/* ---- the message ---- */

void refuse_send_off(const struct loop *loop, int fd)
{
	const struct admission *a = loop->job->admission;

	if (a->busy_size)
		(void)!send(fd, a->busy_message, a->busy_size, MSG_DONTWAIT | MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
}

/* ---- the log ---- */

static const char *reason(enum connection_field outcome)
{
	switch (outcome) {
	case CONN_refused_access:
		return "refused by allow and deny";
	case CONN_refused_per_source:
		return "refused, its source has per_source connections already";
	case CONN_refused_rate:
		return "refused, its source comes faster than rate_per_source";
	case CONN_refused_queue:
		return "refused, it has waited longer than queue_timeout";
	case CONN_refused_proxy:
		return "refused, it came without the header that proxy_protocol asks for";
	case CONN_timed_out:
		return "sent no whole PROXY header in time";
	default:
		return "broke off before it was served";
	}
}

void refuse_tell(const struct loop *loop, const struct entrant *e, enum connection_field outcome)
{
	struct sources *sources = loop->job->admission->sources;
	char peer[ADDRESS_TEXT_MAX], user[32] = "", more[64] = "";
	uint64_t tag = sources_tag(sources, e->peer, e->user_known ? e->uid : (uid_t)-1);
	struct log_about about = {.source = peer};
	unsigned suppressed;

	if (loop->log || !sources_may_tell(sources, tag, e->now_usec, &suppressed))
		return;
	address_format_peer(e->peer, e->len, peer);
	if (e->user_known)
		snprintf(user, sizeof(user), " of uid %u", (unsigned)e->uid);
	if (suppressed)
		snprintf(more, sizeof(more), "; %u such lines were not written", suppressed);
	log_event(LOG_LEVEL_NOTICE, MESSAGE_client_refused, &about, "client %s%s: %s%s", peer, user,
		  reason(outcome), more);
}
