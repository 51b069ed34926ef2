/* SPDX-License-Identifier: ISC */
/* [Socket]: where a service listens, and how. */
#include <config.h>

#include <arpa/inet.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <strings.h>

#include "base/parse.h"
#include "ctl/import_unit.h"

#define DAY (UINT64_C(86400) * USEC_PER_SEC)

/* ---- addresses ---- */

static void add_unix(struct unit_pair *pair, const char *scheme, const char *path)
{
	struct arena *arena = &pair->import->arena;
	const char *slash = strrchr(path, '/');

	draft_add(pair->draft, "listen", arena_format(arena, "%s://%s", scheme, path));
	if (*path == '/')
		draft_note(pair->draft,
			   "preforkd makes no folders, and its unit lets it write in its own in "
			   "/run/preforkd alone (ReadWritePaths in a drop-in lets it in others)",
			   "%.*s", (int)(slash == path ? 1 : slash - path), path);
}

/* [ADDRESS]:PORT, with %DEVICE behind it or not, which is for link-local addresses alone. */
static bool split_ipv6(struct arena *arena, const char *value, char **host, char **port)
{
	const char *end = strchr(value, ']'), *device;
	struct in6_addr in6;

	if (*value != '[' || !end || end[1] != ':')
		return false;
	device = strchr(end, '%');
	*host = arena_cut(arena, value + 1, (size_t)(end - value - 1));
	if (device && inet_pton(AF_INET6, *host, &in6) == 1 && IN6_IS_ADDR_LINKLOCAL(&in6))
		*host = arena_format(arena, "%s%s", *host, device);
	*port = arena_cut(arena, end + 2, strcspn(end + 2, "%"));
	return true;
}

/* 22, 127.0.0.1:22, [::1]:22. Returns false for any other. */
static bool add_inet(struct unit_pair *pair, const char *protocol, const char *value)
{
	struct arena *arena = &pair->import->arena;
	const char *only = unit_value(pair->socket, "Socket", "BindIPv6Only"), *family = "";
	char *host = arena_text(arena, "*"), *port = arena_text(arena, value);
	uint64_t number;

	if (parse_uint(value, 1, UINT16_MAX, &number) < 0 &&
	    !split_ipv6(arena, value, &host, &port)) {
		host = arena_cut(arena, value, strcspn(value, ":"));
		port = arena_text(arena, strchrnul(value, ':') + (strchr(value, ':') != NULL));
		family = "4";
	}
	if (parse_uint(port, 1, UINT16_MAX, &number) < 0)
		return false;
	if (strcmp(host, "::") == 0 || strcmp(host, "0.0.0.0") == 0)
		host = arena_text(arena, "*");
	if (strcmp(host, "*") == 0 && !*family && only && strcmp(only, "ipv6-only") == 0)
		family = "6";
	if (strcmp(host, "*") != 0)
		family = "";
	draft_add(pair->draft, "listen",
		  import_address(pair->import, arena_format(arena, "%s%s", protocol, family), host,
				 port));
	return true;
}

/* A protocol that is neither TCP nor UDP. */
static const char *other_protocol(const struct unit_pair *pair)
{
	const char *protocol = unit_value(pair->socket, "Socket", "SocketProtocol");

	return protocol && strcmp(protocol, "mptcp") != 0 ? protocol : NULL;
}

static void lacks_socket(struct unit_pair *pair, const struct setting *setting)
{
	unit_note(pair, setting, "no equivalent: preforkd listens on TCP, UDP and Unix sockets");
	draft_off(pair->draft, "it would lack a socket, see below");
}

static void take_listen(struct unit_pair *pair, const struct setting *setting, const char *protocol,
			const char *unix_scheme)
{
	const char *value = unit_expand(pair, pair->socket, setting->value);

	if (*value == '/' || *value == '@')
		add_unix(pair, unix_scheme, value);
	else if (!protocol || other_protocol(pair) || !add_inet(pair, protocol, value))
		lacks_socket(pair, setting);
}

static void take_stream(struct unit_pair *pair, const struct setting *setting)
{
	take_listen(pair, setting, "tcp", "unix");
}

static void take_datagram(struct unit_pair *pair, const struct setting *setting)
{
	take_listen(pair, setting, "udp", "unixgram");
}

static void take_packets(struct unit_pair *pair, const struct setting *setting)
{
	take_listen(pair, setting, NULL, "unixpacket");
}

/* ---- the socket ---- */

static void take_truth(struct unit_pair *pair, const struct setting *setting)
{
	static const struct {
		const char *setting, *key;
	} keys[] = {{"KeepAlive", "keepalive"}, {"NoDelay", "nodelay"}, {"FreeBind", "free_bind"}};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(setting->key, keys[i].setting) == 0)
			unit_set_truth(pair, setting, keys[i].key);
}

static void take_backlog(struct unit_pair *pair, const struct setting *setting)
{
	unit_set_number(pair, setting, "backlog", INT_MAX);
}

static void take_defer_accept(struct unit_pair *pair, const struct setting *setting)
{
	unit_set_time(pair, setting, "defer_accept", DAY);
}

static void take_device(struct unit_pair *pair, const struct setting *setting)
{
	const char *name = unit_expand(pair, pair->socket, setting->value);

	if (strlen(name) <= 15)
		unit_set(pair, setting, "bind_device", name);
	else
		unit_note(pair, setting, "not a value that preforkd has");
}

static void take_owner(struct unit_pair *pair, const struct setting *setting)
{
	unit_set(pair, setting,
		 strcmp(setting->key, "SocketUser") == 0 ? "socket_user" : "socket_group",
		 unit_expand(pair, pair->socket, setting->value));
}

static void take_mode(struct unit_pair *pair, const struct setting *setting)
{
	unsigned mode;

	if (parse_mode(setting->value, &mode) < 0)
		unit_note(pair, setting, "not a value that preforkd has");
	else
		unit_set(pair, setting, "socket_mode",
			 arena_format(&pair->import->arena, "%04o", mode));
}

static bool has_file(const struct draft *draft)
{
	const struct texts *listen = draft_values(draft, "listen");

	for (size_t i = 0; listen && i < listen->count; i++)
		if (strstr(listen->items[i], ":///"))
			return true;
	return false;
}

/* ---- how many ---- */

static void take_most(struct unit_pair *pair, const struct setting *setting)
{
	uint64_t most;

	if (!pair->accept)
		unit_note(pair, setting, "without effect: Accept=no");
	else if (parse_uint(setting->value, 1, INT32_MAX, &most) < 0)
		unit_note(pair, setting, "not a value that preforkd has");
	else
		(strcmp(setting->key, "MaxConnectionsPerSource") == 0 ? draft_per_source
								      : draft_most)(
			pair->draft,
			arena_format(&pair->import->arena, "%s=%s", setting->key, setting->value),
			most);
}

/* So many in an interval; as a rate a second where that is a whole number. */
static void set_rate(struct unit_pair *pair, uint64_t burst, uint64_t interval)
{
	uint64_t per_second = burst * USEC_PER_SEC / interval;
	uint64_t per_minute = burst * 60 * USEC_PER_SEC / interval;
	uint64_t count = 1, unit = 3600 * USEC_PER_SEC;
	const char *written =
		arena_format(&pair->import->arena, "TriggerLimitBurst=%" PRIu64, burst);

	if (per_second * interval == burst * USEC_PER_SEC) {
		count = per_second;
		unit = USEC_PER_SEC;
	} else if (per_minute) {
		count = per_minute;
		unit = 60 * USEC_PER_SEC;
	}
	if (draft_rate(pair->draft, "rate", written, count, unit))
		draft_remark(pair->draft, "rate",
			     "more than these wait, where systemd would give the socket up");
}

static void take_trigger_limit(struct unit_pair *pair, const struct setting *setting)
{
	const char *burst_text = unit_value(pair->socket, "Socket", "TriggerLimitBurst");
	const char *span = unit_value(pair->socket, "Socket", "TriggerLimitIntervalSec");
	uint64_t burst = 200, interval = 2 * USEC_PER_SEC;

	if (!pair->accept)
		unit_note(pair, setting,
			  "no equivalent: the program is there already, and is started again with "
			  "pauses when it ends");
	else if ((burst_text && parse_uint(burst_text, 0, INT32_MAX, &burst) < 0) ||
		 (span && !unit_span(&pair->import->arena, span, &interval)))
		unit_note(pair, setting, "not a value that preforkd has");
	else if (burst && interval && interval != UINT64_MAX)
		set_rate(pair, burst, interval);
	else
		unit_note(pair, setting, "no limit, as here");
}

/* ---- names ---- */

/* The sockets of an acceptor have the name of the service, so the service gets theirs. */
static void take_name(struct unit_pair *pair, const struct setting *setting)
{
	if (pair->accept)
		unit_note(pair, setting, "without effect: Accept=yes");
	else if (pair->first)
		pair->draft->name = unit_expand(pair, pair->socket, setting->value);
	else if (strcmp(pair->draft->name, setting->value) != 0)
		unit_note(pair, setting,
			  "no equivalent: in LISTEN_FDNAMES all have the name of the service");
}

static void take_remove(struct unit_pair *pair, const struct setting *setting)
{
	if (!unit_truth(setting->value))
		unit_note(pair, setting, "no equivalent: preforkd removes its sockets");
}

/* ---- all ---- */

static const struct unit_rule rules[] = {
	{"ListenStream", take_stream, NULL},
	{"ListenDatagram", take_datagram, NULL},
	{"ListenSequentialPacket", take_packets, NULL},
	{"Listen*", lacks_socket, NULL},
	{"Accept", NULL, NULL},
	{"Service", NULL, NULL},
	{"BindIPv6Only", NULL, NULL},
	{"SocketProtocol", NULL, "no equivalent: preforkd listens on TCP and UDP as they are"},
	{"KeepAlive", take_truth, NULL},
	{"NoDelay", take_truth, NULL},
	{"FreeBind", take_truth, NULL},
	{"Backlog", take_backlog, NULL},
	{"DeferAcceptSec", take_defer_accept, NULL},
	{"BindToDevice", take_device, NULL},
	{"SocketUser", take_owner, NULL},
	{"SocketGroup", take_owner, NULL},
	{"SocketMode", take_mode, NULL},
	{"MaxConnections", take_most, NULL},
	{"MaxConnectionsPerSource", take_most, NULL},
	{"TriggerLimit*", take_trigger_limit, NULL},
	{"PollLimit*", NULL, "no equivalent: nobody polls the socket"},
	{"FileDescriptorName", take_name, NULL},
	{"RemoveOnStop", take_remove, NULL},
	{"DirectoryMode", NULL, "no equivalent: preforkd makes no folders"},
	{"Symlinks", NULL, "no equivalent: preforkd makes no links"},
	{"FlushPending", NULL, "no equivalent: clients that wait are served"},
	{"KeepAlive*", NULL, WHY_OPTION},
	{"Priority", NULL, WHY_OPTION},
	{"ReceiveBuffer", NULL, WHY_OPTION},
	{"SendBuffer", NULL, WHY_OPTION},
	{"IPTOS", NULL, WHY_OPTION},
	{"IPTTL", NULL, WHY_OPTION},
	{"Mark", NULL, WHY_OPTION},
	{"ReusePort", NULL, WHY_OPTION},
	{"Smack*", NULL, WHY_OPTION},
	{"SELinuxContextFromNet", NULL, WHY_OPTION},
	{"Transparent", NULL, WHY_OPTION},
	{"Broadcast", NULL, WHY_OPTION},
	{"PassCredentials", NULL, WHY_OPTION},
	{"PassPIDFD", NULL, WHY_OPTION},
	{"PassSecurity", NULL, WHY_OPTION},
	{"PassPacketInfo", NULL, WHY_OPTION},
	{"AcceptFileDescriptors", NULL, WHY_OPTION},
	{"Timestamping", NULL, WHY_OPTION},
	{"TCPCongestion", NULL, WHY_OPTION},
	{"Writable", NULL, WHY_OPTION},
	{"PipeSize", NULL, WHY_OPTION},
	{"MessageQueue*", NULL, WHY_OPTION},
	{"IPAddress*", unit_take_address, NULL},
	{"SocketBind*", unit_take_barrier, NULL},
	{"RestrictNetworkInterfaces", unit_take_barrier, NULL},
	{"PassFileDescriptorsToExec", NULL, WHY_COMMAND},
	{"Exec*", NULL, WHY_COMMAND},
	{"TimeoutSec", NULL, WHY_COMMAND},
	/* What is for these programs and the control group of the socket. */
	{"*", NULL, WHY_COMMAND},
	{NULL, NULL, NULL},
};

void unit_take_socket(struct unit_pair *pair)
{
	unit_take(pair, pair->socket, "Socket", rules);
	if (has_file(pair->draft) && !*draft_value(pair->draft, "socket_mode")) {
		draft_set(pair->draft, "socket_mode", "0666");
		draft_remark(pair->draft, "socket_mode", "the default of .socket units");
	}
}
