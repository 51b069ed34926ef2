/* SPDX-License-Identifier: ISC */
/* Neither serve nor answer. */
#include <preforkd/handler.h>

const struct preforkd_handler preforkd_handler = {.abi = PREFORKD_ABI, .name = "nothing"};
