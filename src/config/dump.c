/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/schema.h"
#include "config/types.h"

/* In single quotes, where libconfuse expands nothing. */
static void put_quoted(FILE *out, const char *text)
{
	fputc('\'', out);
	for (; *text; text++) {
		if (*text == '\'' || *text == '\\')
			fputc('\\', out);
		fputc(*text, out);
	}
	fputc('\'', out);
}

static void put_list(FILE *out, const struct text_list *list)
{
	fputc('{', out);
	for (size_t i = 0; i < list->count; i++) {
		if (i)
			fputs(", ", out);
		put_quoted(out, list->items[i]);
	}
	fputc('}', out);
}

static void put_key(FILE *out, const char *indent, const struct key *key, const void *field)
{
	char *text;

	fprintf(out, "%s%s = ", indent, key->name);
	if (key->type->is_list) {
		put_list(out, field);
	} else {
		text = key->type->format(key, field);
		put_quoted(out, text);
		free(text);
	}
	fputc('\n', out);
}

static void put_options(FILE *out, const struct service_config *service)
{
	if (service->option_count == 0)
		return;
	fputs("\toptions {\n", out);
	for (size_t i = 0; i < service->option_count; i++) {
		fprintf(out, "\t\t%s = ", service->options[i].key);
		put_quoted(out, service->options[i].value);
		fputc('\n', out);
	}
	fputs("\t}\n", out);
}

/* What is not would be an error where it is loaded again. */
static bool is_of_service(const struct key *key, const struct service_config *service)
{
	return key->scope != KEY_MASTER && config_key_applies(service, key->name);
}

static void put_service(FILE *out, const struct service_config *service)
{
	fprintf(out, "\nservice \"%s\" {\n", service->name);
	for (size_t i = 0; i < schema_count; i++)
		if (is_of_service(&schema[i], service))
			put_key(out, "\t", &schema[i], (const char *)service + schema[i].offset);
	put_options(out, service);
	fputs("}\n", out);
}

char *config_dump(const struct config *config)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	for (size_t i = 0; i < schema_count; i++)
		if (schema[i].scope == KEY_MASTER)
			put_key(out, "", &schema[i], (const char *)config + schema[i].offset);
	for (size_t i = 0; i < config->service_count; i++)
		put_service(out, &config->services[i]);
	fclose(out);
	return text;
}

/* Neither where it listens (that is the identity of its pools) nor whether it is enabled; nor how
 * many workers there are: that is for those of before too. */
static bool in_fingerprint(const struct key *key, const struct service_config *service)
{
	static const char *const others[] = {"listen",      "enabled", "workers",
					     "workers_max", "spare",   "shrink_after"};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (strcmp(key->name, others[i]) == 0)
			return false;
	return is_of_service(key, service);
}

static void put_users(FILE *out, const struct rules *rules)
{
	for (enum rule_kind kind = RULE_USER; kind <= RULE_GROUP; kind++)
		for (size_t i = 0; i < rules_count(rules, kind); i++) {
			struct rule range = rules_range(rules, kind, i);

			fprintf(out, "%d:%llu-%llu ", (int)kind,
				(unsigned long long)range.first.low,
				(unsigned long long)range.last.low);
		}
	fputc('\n', out);
}

char *config_fingerprint(const struct service_config *service)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	for (size_t i = 0; i < schema_count; i++)
		if (in_fingerprint(&schema[i], service))
			put_key(out, "", &schema[i], (const char *)service + schema[i].offset);
	put_options(out, service);
	/* Only workers of a pool that may grow are counted while they wait. */
	fprintf(out, "%d\n", service->workers_max > service->workers);
	/* A name may come to mean another user without a change in the file. */
	fprintf(out, "%d %d %u %u %u %u\n", service->who.change_user, service->who.change_group,
		service->who.uid, service->who.gid, service->who.socket_uid,
		service->who.socket_gid);
	for (size_t i = 0; i < service->who.group_count; i++)
		fprintf(out, "%u ", service->who.groups[i]);
	fprintf(out, "%s %s %s\n", service->who.login, service->who.home, service->who.shell);
	put_users(out, service->allow_rules);
	put_users(out, service->deny_rules);
	put_users(out, service->proxy_rules);
	fclose(out);
	return text;
}
