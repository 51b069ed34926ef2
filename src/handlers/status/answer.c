/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "handlers/status/answer.h"
#include "handlers/status/health.h"
#include "handlers/status/page.h"
#include "view/json.h"
#include "view/openmetrics.h"
#include "view/snapshot.h"

#define OK          200
#define BAD         400
#define NOT_FOUND   404
#define NOT_ALLOWED 405
#define FAILED      500
#define UNAVAILABLE 503

#define PLAIN "text/plain; charset=utf-8"

/* What somebody asked for: one look at the board, and where the answer goes. */
struct request {
	const struct snapshot *snapshot;
	const char *accept;
	FILE *out;
};

static int make_page(const struct request *request, struct answer *answer, struct error *err)
{
	(void)err;
	answer->type = "text/html; charset=utf-8";
	answer->policy = page_policy;
	page_write(request->snapshot, request->out);
	return 0;
}

/* Who asks for text and does not know OpenMetrics (a browser too) gets the older format. */
static bool wants_openmetrics(const char *accept)
{
	return !accept || strcasestr(accept, "openmetrics") || !strcasestr(accept, "text/");
}

static int make_metrics(const struct request *request, struct answer *answer, struct error *err)
{
	if (wants_openmetrics(request->accept)) {
		answer->type = VIEW_OPENMETRICS_TYPE;
		return view_openmetrics(request->snapshot, request->out, err);
	}
	answer->type = VIEW_PROMETHEUS_TYPE;
	return view_prometheus(request->snapshot, request->out, err);
}

static int make_json(const struct request *request, struct answer *answer, struct error *err)
{
	answer->type = "application/json";
	return view_json(request->snapshot, request->out, err);
}

static int make_health(const struct request *request, struct answer *answer, struct error *err)
{
	(void)err;
	if (!health_write(request->snapshot, request->out))
		answer->code = UNAVAILABLE;
	return 0;
}

static const struct resource {
	const char *path;
	int (*make)(const struct request *request, struct answer *answer, struct error *err);
} resources[] = {
	{"/", make_page},
	{"/metrics", make_metrics},
	{"/status.json", make_json},
	{"/healthz", make_health},
};

/* Of `http://host/path` the path: a proxy's form, which every server has to understand. */
static const char *path_of(const char *url)
{
	const char *path;

	if (strncasecmp(url, "http://", 7) != 0)
		return url;
	path = strchr(url + 7, '/');
	return path ? path : "/";
}

static const struct resource *find(const char *url)
{
	const char *path = path_of(url);

	for (size_t i = 0; i < sizeof(resources) / sizeof(resources[0]); i++)
		if (strcmp(resources[i].path, path) == 0)
			return &resources[i];
	return NULL;
}

static void say(struct answer *answer, unsigned code, const char *text)
{
	free(answer->body);
	answer->code = code;
	answer->type = PLAIN;
	answer->body = strdup(text);
	answer->size = strlen(text);
}

static void write_body(struct answer *answer, const struct resource *resource,
		       const struct snapshot *snapshot, const char *accept)
{
	FILE *out = open_memstream(&answer->body, &answer->size);
	const struct request request = {snapshot, accept, out};
	struct error err = {0};
	bool failed;

	if (!out)
		return;
	failed = resource->make(&request, answer, &err) < 0 || ferror(out);
	failed = fclose(out) != 0 || failed;
	if (failed)
		say(answer, FAILED, *err.text ? err.text : "out of memory\n");
}

static void begin(struct answer *answer)
{
	*answer = (struct answer){
		.code = OK,
		.type = PLAIN,
		.policy = "default-src 'none'; frame-ancestors 'none'",
	};
}

void answer_bad(struct answer *answer, const char *text)
{
	begin(answer);
	say(answer, BAD, text);
}

void answer_make(struct answer *answer, const struct board_reader *board, const char *method,
		 const char *url, const char *accept)
{
	const struct resource *resource = find(url);
	struct snapshot snapshot = {0};
	struct error err = {0};

	begin(answer);
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
		say(answer, NOT_ALLOWED, "only GET and HEAD: nothing can be changed here\n");
		answer->allow = "GET, HEAD";
	} else if (!resource) {
		say(answer, NOT_FOUND, "there are / /metrics /status.json /healthz\n");
	} else if (!board || snapshot_take(&snapshot, board, NULL, 0, &err) < 0) {
		say(answer, UNAVAILABLE, board ? err.text : "the board cannot be read\n");
	} else {
		write_body(answer, resource, &snapshot, accept);
	}
	snapshot_free(&snapshot);
}
