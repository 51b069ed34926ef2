/* SPDX-License-Identifier: ISC */
/* What is answered to a request, without a word about how requests come. */
#ifndef HANDLERS_STATUS_ANSWER_H
#define HANDLERS_STATUS_ANSWER_H

#include <stddef.h>

#include "board/read.h"

struct answer {
	unsigned code;      /* of HTTP */
	const char *type;   /* Content-Type */
	const char *policy; /* Content-Security-Policy */
	const char *allow;  /* the methods, with 405; else NULL */
	char *body;         /* to be freed */
	size_t size;
};

/* accept: the request's, or NULL. body is NULL where there was no memory. */
void answer_make(struct answer *answer, const struct board_reader *board, const char *method,
		 const char *url, const char *accept);
/* To a request that is none. */
void answer_bad(struct answer *answer, const char *text);

#endif
