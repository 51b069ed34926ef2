/* SPDX-License-Identifier: ISC */
/* The messages that the journal knows by an id. */
#ifndef BASE_MESSAGES_H
#define BASE_MESSAGES_H

enum log_message {
	MESSAGE_none, /* a line without an id */
#define MESSAGE(name, id, subject) MESSAGE_##name,
#include "base/messages.def"
#undef MESSAGE
	MESSAGES
};

#endif
