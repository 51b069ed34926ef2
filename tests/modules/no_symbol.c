/* SPDX-License-Identifier: ISC */
/* A shared object that is no module. */
#include <preforkd/handler.h>

extern const struct preforkd_handler another_name;

const struct preforkd_handler another_name = {.abi = PREFORKD_ABI, .name = "no_symbol"};
