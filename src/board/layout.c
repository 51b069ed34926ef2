/* SPDX-License-Identifier: ISC */
#include <config.h>

#include "board/layout.h"

#define FIELD_INFO(name, type, unit, help) {#name, FIELD_##type, unit, help},

const struct field_info connection_fields[CONNECTION_FIELDS] = {
#define CONNECTION_FIELD FIELD_INFO
#include "board/fields.def"
};
const struct field_info pool_fields[POOL_FIELDS] = {
#define POOL_FIELD FIELD_INFO
#include "board/fields.def"
};
const struct field_info instance_fields[INSTANCE_FIELDS] = {
#define INSTANCE_FIELD FIELD_INFO
#include "board/fields.def"
};

const char *const slot_state_names[SLOT_STATES] = {
	[SLOT_FREE] = "free", [SLOT_STARTING] = "starting", [SLOT_IDLE] = "idle",
	[SLOT_BUSY] = "busy", [SLOT_LEAVING] = "leaving",   [SLOT_RUNNING] = "running",
};

const char *const master_state_names[MASTER_STATES] = {
	[MASTER_STARTING] = "starting",   [MASTER_RUNNING] = "running",
	[MASTER_RELOADING] = "reloading", [MASTER_STOPPING] = "stopping",
	[MASTER_GONE] = "gone",
};

uint64_t board_open_connections(const uint64_t values[CONNECTION_FIELDS])
{
	static const enum connection_field endings[] = {
#define CONNECTION_FIELD(name, type, unit, help)
#define ENDING_FIELD(name, type, unit, help) CONN_##name,
#include "board/fields.def"
	};
	uint64_t open = values[CONN_accepted];

	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
		open -= values[endings[i]];
	return open;
}

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t size)
{
	const unsigned char *p = data;

	/* FNV-1a */
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ p[i]) * UINT64_C(1099511628211);
	return hash;
}

static uint64_t hash_fields(uint64_t hash, const struct field_info *fields, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *p = fields[i].name;

		while (*p)
			hash = hash_bytes(hash, p++, 1);
		hash = hash_bytes(hash, "", 1);
	}
	return hash;
}

uint64_t board_layout_hash(void)
{
	const size_t shape[] = {
		sizeof(struct slot),
		offsetof(struct slot, values),
		offsetof(struct slot, since_usec),
		offsetof(struct slot, peer),
		offsetof(struct slot, source),
		sizeof(struct slot_owner),
		sizeof(struct pool_record),
		offsetof(struct pool_record, totals),
		offsetof(struct pool_record, values),
		offsetof(struct pool_record, inode),
		sizeof(struct verdict),
		sizeof(struct master_head),
		offsetof(struct master_file, started_usec),
		offsetof(struct master_file, log_level),
		offsetof(struct master_file, values),
		offsetof(struct master_file, gone),
		offsetof(struct master_file, udp_ports),
		offsetof(struct master_file, pools),
		offsetof(struct master_file, owners),
		sizeof(struct master_file),
		sizeof(struct pool_times),
		offsetof(struct board_file, times),
		sizeof(struct board_file),
	};
	uint64_t hash = UINT64_C(14695981039346656037);

	hash = hash_fields(hash, connection_fields, CONNECTION_FIELDS);
	hash = hash_fields(hash, pool_fields, POOL_FIELDS);
	hash = hash_fields(hash, instance_fields, INSTANCE_FIELDS);
	return hash_bytes(hash, shape, sizeof(shape));
}
