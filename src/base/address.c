/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <arpa/inet.h>
#include <ctype.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/address_scheme.h"
#include "base/log.h"
#include "base/parse.h"

#define DIGITS  "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

#define UNIX_NAME_MAX (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)

struct address_reader {
	const char *text; /* the whole address, to be quoted */
	const char *rest; /* what follows the scheme */
	const struct address_scheme *scheme;
	struct error *err;
};

static int read_inet(const struct address_reader *reader, struct address *address);
static int read_unix(const struct address_reader *reader, struct address *address);
static int read_systemd(const struct address_reader *reader, struct address *address);

static const struct address_scheme schemes[] = {
	{"tcp", SOCK_STREAM, AF_UNSPEC, ADDRESS_INET, read_inet},
	{"tcp4", SOCK_STREAM, AF_INET, ADDRESS_INET, read_inet},
	{"tcp6", SOCK_STREAM, AF_INET6, ADDRESS_INET, read_inet},
	{"udp", SOCK_DGRAM, AF_UNSPEC, ADDRESS_INET, read_inet},
	{"udp4", SOCK_DGRAM, AF_INET, ADDRESS_INET, read_inet},
	{"udp6", SOCK_DGRAM, AF_INET6, ADDRESS_INET, read_inet},
	{"unix", SOCK_STREAM, AF_UNIX, ADDRESS_UNIX, read_unix},
	{"unixgram", SOCK_DGRAM, AF_UNIX, ADDRESS_UNIX, read_unix},
	{"unixpacket", SOCK_SEQPACKET, AF_UNIX, ADDRESS_UNIX, read_unix},
	{"systemd", 0, AF_UNSPEC, ADDRESS_SYSTEMD, read_systemd},
};
#define SCHEMES (sizeof(schemes) / sizeof(*schemes))

static int reject(const struct address_reader *reader, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static int reject(const struct address_reader *reader, const char *format, ...)
{
	char quoted[ADDRESS_TEXT_MAX], reason[ADDRESS_TEXT_MAX];
	va_list args;

	log_escape(quoted, sizeof(quoted), reader->text, strlen(reader->text));
	va_start(args, format);
	vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	return error_set(reader->err, EX_CONFIG, "address \"%s\": %s", quoted, reason);
}

const struct address_scheme *address_scheme_of(int type, int family)
{
	for (size_t i = 0; i < SCHEMES; i++)
		if (schemes[i].type == type && schemes[i].family == family)
			return &schemes[i];
	return NULL;
}

static const struct address_scheme *scheme_named(const char *name, size_t size)
{
	for (size_t i = 0; i < SCHEMES; i++)
		if (strlen(schemes[i].name) == size && !memcmp(schemes[i].name, name, size))
			return &schemes[i];
	return NULL;
}

bool address_port_is_number(const char *port)
{
	return *port && !port[strspn(port, DIGITS)];
}

bool address_host_is_ipv4(const char *host)
{
	struct in_addr in;

	return inet_pton(AF_INET, host, &in) == 1;
}

static bool is_ascii(const char *text)
{
	while (isascii((unsigned char)*text) && *text)
		text++;
	return !*text;
}

static int read_systemd(const struct address_reader *reader, struct address *address)
{
	const char *name = reader->rest;

	if (!*name)
		return reject(reader, "a name is missing, as in systemd://NAME");
	if (strlen(name) >= sizeof(address->host))
		return reject(reader, "the name is longer than %zu bytes",
			      sizeof(address->host) - 1);
	if (!is_ascii(name) || strchr(name, ':'))
		return reject(reader, "systemd takes names of printable ASCII without ':' only");
	memcpy(address->host, name, strlen(name) + 1);
	return 0;
}

static int read_unix(const struct address_reader *reader, struct address *address)
{
	const char *name = reader->rest, *scheme = reader->scheme->name;
	bool abstract = *name == '@';

	if (!*name)
		return reject(reader, "a path is missing, as in %s:///PATH or %s://@NAME", scheme,
			      scheme);
	if (!abstract && *name != '/')
		return reject(reader,
			      "the path is not absolute: it must begin with /, as in "
			      "%s:///PATH",
			      scheme);
	if (abstract && !name[1])
		return reject(reader, "a name is missing after the @, as in %s://@NAME", scheme);
	if (abstract && !is_ascii(name))
		return reject(reader, "a name after @ takes printable ASCII only");
	if (strlen(name + abstract) > UNIX_NAME_MAX)
		return reject(reader, "the %s is longer than %zu bytes", abstract ? "name" : "path",
			      UNIX_NAME_MAX);
	memcpy(address->host, name, strlen(name) + 1);
	return 0;
}

static int check_port(const struct address_reader *reader, const char *port)
{
	uint64_t value;

	if (!*port)
		return reject(reader, "a port is missing, as in %s://HOST:PORT",
			      reader->scheme->name);
	if (strlen(port) >= ADDRESS_PORT_MAX)
		return reject(reader, "the port is longer than %d bytes", ADDRESS_PORT_MAX - 1);
	if (address_port_is_number(port)) {
		if (parse_uint(port, 0, 65535, &value))
			return reject(reader, "port %s is above 65535", port);
		return 0;
	}
	if (port[strspn(port, LETTERS DIGITS "-_.+*")] || !strpbrk(port, LETTERS))
		return reject(reader, "the port is neither a number nor a name of /etc/services");
	return 0;
}

static int check_ipv4(const struct address_reader *reader, const char *host)
{
	if (!address_host_is_ipv4(host))
		return reject(reader, "%s is not an IPv4 address", host);
	if (reader->scheme->family == AF_INET6)
		return reject(reader, "%s is an IPv4 address, which takes %.3s4://", host,
			      reader->scheme->name);
	return 0;
}

/* An unbracketed host: `*`, an IPv4 address or a name. What looks like a mistyped IPv4 address is
 * refused here: a resolver would ask the network for it, or read 127.1 as 127.0.0.1. */
static int check_host(const struct address_reader *reader, const char *host)
{
	const char *scheme = reader->scheme->name;

	if (!*host)
		return reject(reader, "a host is missing; every address is *, as in %s://*:7",
			      scheme);
	if (!strcmp(host, "*"))
		return 0;
	if (strchr(host, '%'))
		return reject(reader,
			      "a %%scope needs an IPv6 address in brackets, as in "
			      "%.3s://[fe80::1%%eth0]:7",
			      scheme);
	if (host[strspn(host, LETTERS DIGITS "-_.")])
		return reject(reader, "the host is neither a name nor an address nor *");
	if (!host[strspn(host, DIGITS ".")])
		return check_ipv4(reader, host);
	return 0;
}

/* What stands in brackets: an IPv6 address, perhaps with a scope. */
static int check_bracketed(const struct address_reader *reader, const char *host)
{
	char literal[ADDRESS_HOST_MAX];
	size_t length = strcspn(host, "%");
	const char *scope = host[length] ? host + length + 1 : NULL;
	struct in6_addr in6;

	snprintf(literal, sizeof(literal), "%.*s", (int)length, host);
	if (address_host_is_ipv4(literal))
		return reject(reader, "an IPv4 address takes no brackets, as in %.3s://%s:7",
			      reader->scheme->name, literal);
	if (inet_pton(AF_INET6, literal, &in6) != 1)
		return reject(reader, "what the brackets hold is not an IPv6 address");
	if (reader->scheme->family == AF_INET)
		return reject(reader, "%s is an IPv6 address, which takes %.3s6://", literal,
			      reader->scheme->name);
	if (scope && !*scope)
		return reject(reader,
			      "a scope is missing after the %%, as in %s://[fe80::1%%eth0]:7",
			      reader->scheme->name);
	if (scope && strlen(scope) >= IF_NAMESIZE)
		return reject(reader, "the scope is longer than %d bytes", IF_NAMESIZE - 1);
	return 0;
}

/* Where the port's colon is, or NULL with an error. */
static const char *find_colon(const struct address_reader *reader)
{
	const char *scheme = reader->scheme->name, *colon;

	if (*reader->rest == '[') {
		colon = strchr(reader->rest, ']');
		if (!colon)
			reject(reader, "a ] is missing, as in %.3s://[::1]:7", scheme);
		else if (!*++colon)
			reject(reader, "a port is missing, as in %.3s://[::1]:7", scheme);
		else if (*colon != ':')
			reject(reader, "only :PORT may follow the ], as in %.3s://[::1]:7", scheme);
		else
			return colon;
		return NULL;
	}
	colon = strchr(reader->rest, ':');
	if (!colon)
		reject(reader, "a port is missing, as in %s://HOST:PORT", scheme);
	else if (strchr(colon + 1, ':'))
		reject(reader, "an IPv6 address needs brackets, as in %.3s%s://[::1]:7", scheme,
		       reader->scheme->family == AF_INET ? "6" : scheme + 3);
	else
		return colon;
	return NULL;
}

static int read_inet(const struct address_reader *reader, struct address *address)
{
	const char *colon = find_colon(reader), *host = reader->rest;
	size_t length;

	if (!colon)
		return -1;
	address->bracketed = *host == '[';
	length = (size_t)(colon - host);
	if (address->bracketed) {
		host++;
		length -= 2;
	}
	if (length >= sizeof(address->host))
		return reject(reader, "the host is longer than %zu bytes",
			      sizeof(address->host) - 1);
	memcpy(address->host, host, length);
	address->host[length] = '\0';
	if (address->bracketed ? check_bracketed(reader, address->host)
			       : check_host(reader, address->host))
		return -1;
	if (check_port(reader, colon + 1))
		return -1;
	memcpy(address->port, colon + 1, strlen(colon + 1) + 1);
	return 0;
}

static bool holds_space_or_control(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || *text == 0x7f)
			return true;
	return false;
}

int address_parse(const char *text, struct address *address, struct error *err)
{
	struct address_reader reader = {.text = text, .err = err};
	const char *separator = strstr(text, "://");
	struct address result;

	if (holds_space_or_control(text))
		return reject(&reader, "an address holds no spaces and no control characters");
	if (!separator || separator == text)
		return reject(&reader,
			      "a scheme is missing, as in tcp://HOST:PORT or unix:///PATH");
	reader.scheme = scheme_named(text, (size_t)(separator - text));
	reader.rest = separator + 3;
	if (!reader.scheme)
		return reject(&reader, "unknown scheme; there are tcp tcp4 tcp6 udp udp4 udp6 unix "
				       "unixgram unixpacket systemd");
	memset(&result, 0, sizeof(result));
	result.kind = reader.scheme->kind;
	result.type = reader.scheme->type;
	result.family = reader.scheme->family;
	if (reader.scheme->read(&reader, &result))
		return -1;
	*address = result;
	return 0;
}
