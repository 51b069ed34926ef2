/* SPDX-License-Identifier: ISC */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/mem.h"
#include "handlers/instance.h"
#include "handlers/table.h"
#include "master/admission.h"
#include "master/load.h"

/* Of a socket that systemd passed only the look-up told what it is. */
static int type_not_served(const struct listen_on *on, const struct preforkd_handler *handler)
{
	if (on->address.type && !handler_serves(handler, on->address.type))
		return on->address.type;
	for (size_t i = 0; i < on->endpoint_count; i++)
		if (!handler_serves(handler, on->endpoints[i].type))
			return on->endpoints[i].type;
	return 0;
}

/* Every kind of socket the service listens on must be one the handler serves. */
static void check_sockets(const struct service_config *s, const struct preforkd_handler *handler,
			  struct error_list *errors)
{
	for (size_t i = 0; i < s->listen.count; i++) {
		int type = type_not_served(&s->addresses[i], handler);

		if (s->addresses[i].valid && type)
			error_list_add(errors, EX_CONFIG, "%s: %s: %s \"%s\" does not serve %s",
				       config_place(s, "listen"), s->listen.items[i],
				       config_handler_key(s->kind), handler->name,
				       type == SOCK_DGRAM ? "datagrams" : "connections");
	}
}

static void try_handler(const struct service_config *s, struct error_list *errors)
{
	const struct preforkd_setup setup = {
		.service = s->name, .options = s->options, .option_count = s->option_count};
	struct handler_instance instance;
	struct error err = {0};

	if (s->kind != HANDLER_BUILTIN && s->kind != HANDLER_MODULE)
		return;
	if (handler_open(&instance, *s->builtin ? s->builtin : NULL, *s->module ? s->module : NULL,
			 &setup, &err) < 0) {
		error_list_add(errors, EX_CONFIG, "%s: %s",
			       config_place(s, config_handler_key(s->kind)), err.text);
		return;
	}
	check_sockets(s, instance.handler, errors);
	handler_close(&instance);
}

static struct entries *read_entries(const struct options *options, struct error_list *errors)
{
	struct entries *entries;

	if (options->service)
		return entries_copy(options->service);
	entries = entries_new();
	entries_read(entries, options->config_file, errors);
	return entries;
}

/* A mistake does not end the search for others. */
struct config *load_config(const struct options *options, const struct passed *passed,
			   struct error_list *errors)
{
	struct config *config = config_build(read_entries(options, errors), errors);

	config_resolve(config, passed, errors);
	for (size_t i = 0; i < config->service_count; i++)
		try_handler(&config->services[i], errors);
	if (errors->count == 0)
		return config;
	config_free(config);
	return NULL;
}

char *load_pack(const struct options *options, const struct passed *passed, size_t *size)
{
	struct error_list errors = {0};
	struct config *config = load_config(options, passed, &errors);
	char *bytes = NULL, *text;

	if (config)
		bytes = config_pack(config, size);
	if (bytes)
		return bytes;
	/* No configuration begins with a count so large. */
	text = errors.count ? error_list_join(&errors) : mem_text("out of memory");
	bytes = mem_format("%c%c%c%c%c%c%c%c%c%s", 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
			   errors.code ? errors.code : EX_OSERR, text ? text : "");
	*size = 9 + (text ? strlen(text) : 0);
	return bytes;
}

struct config *load_unpack(const char *bytes, size_t size, struct error_list *errors)
{
	struct config *config;

	if (size >= 9 && memcmp(bytes, "\xff\xff\xff\xff\xff\xff\xff\xff", 8) == 0) {
		error_list_add(errors, (unsigned char)bytes[8], "%.*s", (int)(size - 9), bytes + 9);
		return NULL;
	}
	config = size ? config_unpack(bytes, size, errors) : NULL;
	if (!config && errors->count == 0)
		error_list_add(errors, EX_SOFTWARE, "the load of the configuration crashed");
	return config;
}

bool load_fits(const char *bytes, size_t size)
{
	struct error_list errors = {0};
	const struct config *config = load_unpack(bytes, size, &errors);
	size_t room = 2 * size + LOAD_ROOM;

	for (size_t i = 0; config && i < config->service_count; i++)
		room += admission_size(&config->services[i]);
	return !config || mem_has_room(room);
}
