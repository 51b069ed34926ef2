/* SPDX-License-Identifier: ISC */
/* The drafts as a configuration. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "base/log_escape.h"
#include "ctl/import.h"

#define COLUMNS 96

/* What others wrote may hold anything; a comment ends at the end of the line. */
static void print_safely(struct import *import, const char *text)
{
	size_t room = 4 * strlen(text) + 4;
	char *safe = arena_take(&import->arena, room);

	log_escape_line(safe, room, text, strlen(text));
	fputs(safe, stdout);
}

static void print_comment(struct import *import, const char *indent, const char *text)
{
	printf("%s# ", indent);
	print_safely(import, text);
	putchar('\n');
}

/* Double quotes expand ${NAME}; what has something in it that they change is in single ones. */
static void print_quoted(const char *text)
{
	bool plain = strpbrk(text, "\"\\$\n") == NULL;

	putchar(plain ? '"' : '\'');
	for (; *text; text++) {
		if (!plain && (*text == '\'' || *text == '\\'))
			putchar('\\');
		putchar(*text);
	}
	putchar(plain ? '"' : '\'');
}

static void print_list(const struct texts *values)
{
	putchar('{');
	for (size_t i = 0; i < values->count; i++) {
		if (i)
			fputs(", ", stdout);
		print_quoted(values->items[i]);
	}
	putchar('}');
}

static void print_assignment(const struct draft_value *value)
{
	const char *first = value->values.count ? value->values.items[0] : "";

	switch (value->key->form) {
	case FORM_BARE:
		printf("%s = %s", value->key->name, first);
		break;
	case FORM_TEXT:
		printf("%s = ", value->key->name);
		print_quoted(first);
		break;
	case FORM_LIST:
		printf("%s = ", value->key->name);
		print_list(&value->values);
		break;
	case FORM_OPTION:
		printf("options { %s = ", value->key->name);
		print_quoted(first);
		fputs(" }", stdout);
		break;
	}
}

static void print_value(struct import *import, const struct draft_value *value)
{
	putchar('\t');
	print_assignment(value);
	if (value->remark) {
		fputs("   # ", stdout);
		print_safely(import, value->remark);
	}
	putchar('\n');
}

static void print_values(struct import *import, const struct draft *draft)
{
	for (const struct import_key *key = import_keys; key->name; key++)
		for (size_t i = 0; i < draft->value_count; i++)
			if (draft->values[i].key == key)
				print_value(import, &draft->values[i]);
}

static void print_notes(struct import *import, const struct draft *draft, const char *indent)
{
	struct arena *arena = &import->arena;

	for (size_t i = 0; i < draft->note_count; i++) {
		const struct draft_note *note = &draft->notes[i];

		if (note->what.count == 1) {
			print_comment(
				import, indent,
				arena_format(arena, "%s: %s", note->what.items[0], note->why));
			continue;
		}
		print_comment(import, indent,
			      note->what.count ? arena_format(arena, "%s:", note->why) : note->why);
		for (size_t j = 0; j < note->what.count; j++)
			print_comment(import, indent,
				      arena_format(arena, "  %s", note->what.items[j]));
	}
}

static void print_off(struct import *import, const struct draft *draft)
{
	if (draft->off.count == 0)
		return;
	fputs("\tenabled = false\n", stdout);
	for (size_t i = 0; i < draft->off.count; i++)
		print_comment(import, "\t",
			      arena_format(&import->arena, "not enabled: %s", draft->off.items[i]));
}

static void print_draft(struct import *import, const struct draft *draft)
{
	putchar('\n');
	for (size_t i = 0; i < draft->from.count; i++)
		print_comment(import, "", draft->from.items[i]);
	if (draft->none) {
		print_notes(import, draft, "");
		return;
	}
	printf("service \"%s\" {\n", draft->name);
	print_off(import, draft);
	print_values(import, draft);
	print_notes(import, draft, "\t");
	fputs("}\n", stdout);
}

/* Lines of at most COLUMNS, cut at blanks. */
static void print_wrapped(struct import *import, const char *text)
{
	while (strlen(text) > COLUMNS) {
		const char *cut = memrchr(text, ' ', COLUMNS);

		if (!cut)
			break;
		print_comment(import, "", arena_cut(&import->arena, text, (size_t)(cut - text)));
		text = cut + 1;
	}
	print_comment(import, "", text);
}

void import_print(struct import *import)
{
	puts("# Made by preforkctl import from");
	for (size_t i = 0; i < import->files.count; i++)
		print_comment(import, "",
			      arena_format(&import->arena, "  %s", import->files.items[i]));
	puts("# Look at each comment before you use it: what has no equivalent is told there.");
	for (size_t i = 0; i < import->remarks.count; i++) {
		puts("#");
		print_wrapped(import, import->remarks.items[i]);
	}
	for (size_t i = 0; i < import->draft_count; i++)
		print_draft(import, import->drafts[i]);
}
