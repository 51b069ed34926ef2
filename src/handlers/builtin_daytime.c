/* SPDX-License-Identifier: ISC */
/*
 * daytime, RFC 867: one line for people. The RFC leaves its form open; ours is always
 * `Sun, 22 Nov 2026 08:00:00 GMT` and CR LF, the date of HTTP and mail, in English.
 */
#include <config.h>

#include <stdio.h>
#include <time.h>

#include "handlers/builtin.h"

#define LINE_ROOM 64

/* The first conversion of a time reads the zone's file: a worker in a sandbox or a chroot may not,
 * and inherits ours. */
static int daytime_open(const struct preforkd_setup *setup, void **state, char *error,
			size_t error_size)
{
	if (builtin_open_plain(setup, state, error, error_size) < 0)
		return -1;
	tzset();
	return 0;
}

/* Not strftime(3), whose names are those of the locale. */
static size_t format_time(char *line, time_t when)
{
	static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	struct tm tm;
	int n;

	if (!gmtime_r(&when, &tm))
		return 0;
	n = snprintf(line, LINE_ROOM, "%s, %02d %s %04d %02d:%02d:%02d GMT\r\n", days[tm.tm_wday],
		     tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
		     tm.tm_sec);
	return n < 0 || n >= LINE_ROOM ? 0 : (size_t)n;
}

/* A line is good for a second, and there may be thousands of clients in it. */
static int daytime_serve(void *state, const struct preforkd_client *client)
{
	static struct {
		time_t second;
		size_t size;
		char line[LINE_ROOM];
	} last;
	time_t now = time(NULL);

	(void)state;
	if (now != last.second || last.size == 0) {
		last.size = format_time(last.line, now);
		last.second = now;
	}
	return preforkd_write_last(client->fd, last.line, last.size);
}

static ssize_t daytime_answer(void *state, const struct preforkd_datagram *datagram, void *reply,
			      size_t room)
{
	char line[LINE_ROOM];

	(void)state;
	(void)datagram;
	return builtin_reply(reply, room, line, format_time(line, time(NULL)));
}

const struct preforkd_handler builtin_daytime = {
	.abi = PREFORKD_ABI,
	.flags = PREFORKD_REFUSE_LOOPS | PREFORKD_SMALL_REPLIES | PREFORKD_PROMPT |
		 PREFORKD_PROMPT_ANSWER,
	.name = "daytime",
	.open = daytime_open,
	.serve = daytime_serve,
	.answer = daytime_answer,
};
