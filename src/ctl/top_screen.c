/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/top_screen.h"

/* What there must be room for before a part is shown. */
#define FOOT_FROM   6
#define CURVES_FROM 12
#define PANEL_FROM  18

#define HEAD_HEIGHT 2

static unsigned state_style(const struct top_model *model)
{
	enum master_state state = model->now.instance.state;

	if (snapshot_degraded(&model->now))
		return TOP_DEGRADED;
	return state == MASTER_RUNNING || state == MASTER_RELOADING ? TOP_GOOD : TOP_FULL;
}

static void add_state(const struct top_model *model, const struct top_canvas *canvas,
		      struct top_line *line)
{
	unsigned full = 0;

	for (uint32_t i = 0; i < model->now.pool_count; i++)
		full += model->pools[i].saturated;
	top_add(canvas, line, state_style(model), "  %s%s",
		master_state_names[model->now.instance.state],
		snapshot_degraded(&model->now) ? ", degraded" : "");
	if (full)
		top_add(canvas, line, TOP_FULL, ", %u full", full);
}

/* At the right end: what was asked for, not what is found. */
static void add_pace(const struct top_model *model, struct top_canvas *canvas,
		     struct top_line *line)
{
	char text[64];

	snprintf(text, sizeof(text), "%s%.3gs", model->paused ? "paused  " : "",
		 (double)model->interval_usec / USEC_PER_SEC);
	int left = top_left(canvas, line) - (int)strlen(text);
	if (left < 0)
		return;
	top_add_cell(canvas, line, TOP_PLAIN, left, TOP_LEFT, TOP_ELIDE_END, "");
	top_add(canvas, line, model->paused ? TOP_FULL : TOP_DIM, "%s", text);
}

static void add_headline(const struct top_model *model, struct top_canvas *canvas)
{
	const struct instance_view *instance = &model->now.instance;
	uint64_t now = model->now.realtime_usec, started = instance->started_usec;
	struct top_line *line = top_canvas_line(canvas);
	char age[CTL_AGE_MAX];

	top_add(canvas, line, TOP_TITLE, "preforkd %s",
		model->running ? instance->instance : model->name);
	if (model->running) {
		add_state(model, canvas, line);
		top_add(canvas, line, TOP_PLAIN,
			"  generation %" PRIu64 "  up %s  pid %" PRIu32 "  %s",
			instance->values[INSTANCE_generation],
			ctl_age(age, started < now ? now - started : 0), instance->pid,
			instance->version);
	} else {
		top_add(canvas, line, TOP_DEGRADED, "  not running, waiting");
	}
	add_pace(model, canvas, line);
}

/* unit NULL: a time. */
static void add_total(struct top_canvas *canvas, struct top_line *line, const char *label,
		      double value, const char *unit)
{
	char text[TOP_NUMBER_MAX];

	top_add(canvas, line, TOP_DIM, "%s%s ", line && line->columns ? "  " : "", label);
	top_add(canvas, line, TOP_TITLE, "%s%s",
		unit ? top_number(text, value) : top_time(text, value), unit ? unit : "");
}

static void add_totals(const struct top_model *model, struct top_canvas *canvas)
{
	struct top_line *line = top_canvas_line(canvas);
	const struct top_numbers *total = &model->total;

	if (!model->running) {
		top_add_cell(canvas, line, TOP_DIM, canvas->width, TOP_LEFT, TOP_ELIDE_MIDDLE,
			     model->waiting);
		return;
	}
	add_total(canvas, line, "rate", total->rate, "/s");
	add_total(canvas, line, "busy", total->busy, "");
	add_total(canvas, line, "ready", total->ready, "");
	add_total(canvas, line, "max", total->max, "");
	add_total(canvas, line, "queued", total->queued, "");
	add_total(canvas, line, "refused", total->refused, "/s");
	add_total(canvas, line, "errors", total->errors, "/s");
	if (top_left(canvas, line) >= 14)
		add_total(canvas, line, "p99", total->p99, NULL);
}

/* Side by side. */
static void add_curves(const struct top_model *model, struct top_canvas *canvas)
{
	struct top_line *line = top_canvas_line(canvas);
	int columns = canvas->width / 2 - 5;

	top_add(canvas, line, TOP_DIM, "rate ");
	top_add_curve(model, canvas, line, model->instance.rate, columns - 2, 0);
	top_add_cell(canvas, line, TOP_DIM, canvas->width / 2 - (line ? line->columns : 0),
		     TOP_LEFT, TOP_ELIDE_END, "");
	top_add(canvas, line, TOP_DIM, "busy ");
	top_add_curve(model, canvas, line, model->instance.busy, columns, 1);
}

static void add_body(struct top_model *model, struct top_canvas *canvas, int height)
{
	bool panel = canvas->height >= PANEL_FROM;

	if (model->mode == TOP_HELP) {
		top_help(model, canvas, height);
	} else if (model->mode == TOP_SORT) {
		top_sort_menu(model, canvas, height);
	} else {
		top_table(model, canvas, height - (panel ? TOP_PANEL_HEIGHT : 0));
		if (panel)
			top_panel(model, canvas);
	}
}

void top_screen(struct top_model *model, struct top_canvas *canvas)
{
	int foot = canvas->height >= FOOT_FROM || model->mode == TOP_FILTER;

	add_headline(model, canvas);
	add_totals(model, canvas);
	if (canvas->height >= CURVES_FROM)
		add_curves(model, canvas);
	add_body(model, canvas, canvas->height - canvas->used - foot);
	if (foot)
		top_foot(model, canvas);
}

int top_batch_height(const struct top_model *model)
{
	return HEAD_HEIGHT + 1 + (model->row_count ? (int)model->row_count : 1);
}

void top_batch(struct top_model *model, struct top_canvas *canvas)
{
	add_headline(model, canvas);
	add_totals(model, canvas);
	top_table(model, canvas, canvas->height - canvas->used);
}
