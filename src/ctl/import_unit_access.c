/* SPDX-License-Identifier: ISC */
/* IPAddressAllow= and IPAddressDeny= of systemd.resource-control(5) as allow and deny. */
#include <config.h>

#include <string.h>

#include "ctl/import_unit.h"

static struct texts all_of(struct unit_pair *pair, const struct unit *unit, const char *section,
			   const char *key)
{
	struct arena *arena = &pair->import->arena;
	struct texts words = {0};

	for (size_t i = 0; i < unit->count; i++) {
		const struct setting *setting = &unit->settings[i];
		struct texts more;

		if (strcmp(setting->section, section) != 0 || strcmp(setting->key, key) != 0)
			continue;
		more = texts_split(arena, setting->value, " \t");
		for (size_t j = 0; j < more.count; j++)
			texts_add(arena, &words, more.items[j]);
	}
	return words;
}

/* Who is missing in allow is refused, which is safe; who is missing in deny is not. */
static void add_one(struct draft *draft, const char *key, const char *word)
{
	if (draft_add_prefix(draft, key, word))
		return;
	draft_note(draft, "no address that preforkd knows", "%s", word);
	draft_off(draft, "%s lacks %s", key, word);
}

static void add(struct draft *draft, const char *key, const struct texts *words)
{
	static const struct {
		const char *word, *first, *second;
	} names[] = {
		{"any", "0.0.0.0/0", "::/0"},
		{"localhost", "127.0.0.0/8", "::1"},
		{"link-local", "169.254.0.0/16", "fe80::/64"},
		{"multicast", "224.0.0.0/4", "ff00::/8"},
	};
	const size_t count = sizeof(names) / sizeof(names[0]);

	for (size_t i = 0; i < words->count; i++) {
		size_t n = 0;

		while (n < count && strcmp(names[n].word, words->items[i]) != 0)
			n++;
		add_one(draft, key, n < count ? names[n].first : words->items[i]);
		if (n < count)
			add_one(draft, key, names[n].second);
	}
}

void unit_take_barrier(struct unit_pair *pair, const struct setting *setting)
{
	unit_note(pair, setting, "no equivalent");
	draft_off(pair->draft, "%s= kept clients out, see below", setting->key);
}

static bool listens_on_inet(const struct draft *draft)
{
	const struct texts *listen = draft_values(draft, "listen");

	for (size_t i = 0; listen && i < listen->count; i++)
		if (strncmp(listen->items[i], "unix", 4) != 0)
			return true;
	return false;
}

/* systemd lets in who is allowed, then keeps out who is denied, then lets in. */
void unit_take_address(struct unit_pair *pair, const struct setting *setting)
{
	const struct unit *unit =
		strcmp(setting->section, "Socket") == 0 ? pair->socket : pair->service;
	struct texts allowed = all_of(pair, unit, setting->section, "IPAddressAllow");
	struct texts denied = all_of(pair, unit, setting->section, "IPAddressDeny");
	struct draft *draft = pair->draft;

	if (!listens_on_inet(draft)) {
		unit_note(pair, setting, WHY_HARDENING);
		return;
	}
	if (strcmp(setting->key, "IPAddressDeny") != 0)
		return;
	if (draft_values(draft, "allow") || draft_values(draft, "deny")) {
		unit_take_barrier(pair, setting);
		return;
	}
	if (texts_have(&denied, "any") && allowed.count) {
		add(draft, "allow", &allowed);
	} else {
		add(draft, "deny", &denied);
		if (allowed.count)
			draft_say(draft,
				  "preforkd goes by deny before allow: IPAddressAllow=%s "
				  "lets nobody in whom that keeps out",
				  texts_join(&pair->import->arena, &allowed));
	}
	draft_say(draft, "IPAddressDeny= was for what the program sends by itself, too");
}
